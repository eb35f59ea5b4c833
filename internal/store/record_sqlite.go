package store

// The walks that a list of records can take. They are named rather than left to
// the planner: without statistics it would sort a whole site to give the first
// hundred of its records.
const (
	recordByTimeSQLite    = "record INDEXED BY record_by_time"
	recordByMachineSQLite = "record INDEXED BY record_by_machine"
)
