// Package address turns what a configuration names nodes by into the node ids that a
// server uses now.
package address
