//go:build race

package app_test

// The race detector takes several times the memory of the program.
const memoryFactor = 4
