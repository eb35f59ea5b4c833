//go:build race

package apptest

// stopPatience is how long a server may take to stop: 15 s for requests, 10 s of applying
// the log, and the step that is at work then, which takes several times as long here.
const stopPatience = 2 * Patience
