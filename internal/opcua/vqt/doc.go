// Package vqt turns what OPC UA calls a DataValue into the value, quality and time of a
// signal, without rounding and without inventing anything.
package vqt
