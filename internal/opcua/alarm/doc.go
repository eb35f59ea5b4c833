// Package alarm is about the events of OPC UA servers, alarms and conditions (OPC 10000-9)
// among them: what is asked of a server, what its events become, which alarms there are now,
// and how they are acknowledged.
package alarm
