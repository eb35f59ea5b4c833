// Package vqt turns what OPC UA calls a DataValue into the value, quality and time of a
// signal, without rounding and without inventing anything.
//
// Of is pure. What it needs to know of the server's data types beyond the value itself
// (names of enumerations, members of structures) is in a Types, which is loaded once a
// session. The library decodes the built-in types and the structures of the standard;
// the bodies of all other structures are kept as bytes (Raw) and decoded here, within
// bounds, by what the server says of their type.
package vqt
