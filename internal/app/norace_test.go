//go:build !race

package app_test

const memoryFactor = 1
