// Package history reads what an OPC UA server has kept of its nodes' values (OPC 10000-11,
// 6.5.3), in pieces that neither side has to hold at once.
package history
