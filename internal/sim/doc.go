// Package sim models a few machines of a plant, plausibly enough that a demo
// looks alive: temperatures follow with a lag, spindles draw power while they
// cut, good parts are counted at the end of each cycle, states last.
//
// A model is a pure step function: the same seed and the same steps give the
// same readings. It knows no clock and no protocol; the simulated OPC UA server,
// MQTT publishers and REST posters step it and send what it reads.
package sim
