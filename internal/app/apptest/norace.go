//go:build !race

package apptest

// stopPatience is how long a server may take to stop.
const stopPatience = Patience
