// Package sessions keeps what the own broker owes its subscribers: sessions with
// their subscriptions, the messages that wait for them or are under way to them, and
// retained messages. What belongs to a persistent session, and what is retained, is
// in a log on the disk before the publisher gets its acknowledgement, and is there
// again after the program was killed.
//
// The MQTT server library keeps queues of its own. They are not used, for these
// reasons (mochi-mqtt/server 2.7.9, read in its source and tried): it acknowledges
// before it hands over to subscribers; messages of one second come in any order after
// a return; what arrives while a session returns is lost; publications of a client
// delete what is under way to it under the same packet id; a subscriber that reads
// slowly loses QoS 1; beyond the client's receive maximum messages are forgotten once
// they are sent, acknowledged or not; everything ends after a day.
//
// Changes are made by one goroutine, in the order in which the log has them. It takes
// all changes that wait, writes them as one frame and syncs once (group commit). A
// message is sent to a persistent session only when the log has it.
//
// The packet id of a message follows from its number in the session, so that it is the
// same after a restart: that is what makes a second PUBLISH of QoS 2 harmless. PUBREC is
// in the log before PUBREL is sent, and PUBREL of a publisher before PUBCOMP.
// Acknowledgements are written with the next commit or a fifth of a second later; those
// that a kill takes away make messages come again, with DUP set.
//
// A commit that the log has no room for is held, with all that follows from it, until it
// has. Whoever waits for a change meanwhile is told that it is not made.
package sessions
