package mes

import "time"

// Level is a level of the equipment hierarchy of ISA-95 (IEC 62264-1, 5.3).
type Level string

// The levels. A machine is a work unit.
const (
	LevelEnterprise Level = "enterprise"
	LevelSite       Level = "site"
	LevelArea       Level = "area"
	LevelWorkCenter Level = "work_center"
	LevelWorkUnit   Level = "work_unit"
)

// Equipment is a node of the hierarchy. Ids are unique within a site.
type Equipment struct {
	SiteID string
	ID     string
	Level  Level
	Name   string
	// TimeZone is the IANA name of a site's zone; "" below the site.
	TimeZone string
	// AutoRegistered means that a first message made it, not a person.
	AutoRegistered bool
	CreatedAt      time.Time
	// LastReceivedAt is when the newest message of the work unit came; zero if none.
	LastReceivedAt time.Time
	// LastTime is the newest source time of its records; zero if none.
	LastTime time.Time
	// Doors are the protocols by which its records came.
	Doors []Door
}

// EquipmentFilter selects equipment; a zero field means any.
type EquipmentFilter struct {
	Scope  Scope
	SiteID string
	Level  Level
	Door   Door
	// After is the site and id after which the list goes on.
	AfterSiteID, AfterID string
	Limit                int
}

// Latest is the newest value of one signal: newest by the order of the machine,
// not by arrival. The status of a work unit is the signal "status".
type Latest struct {
	SiteID    string
	MachineID string
	Signal    Signal
	// Time at which the value was new. An unchanged value of a snapshot keeps it.
	Time       time.Time
	TimeOrigin TimeOrigin
	ReceivedAt time.Time
	StatusCode StatusCode
	Door       Door
	RecordID   ID
}

// LatestFilter selects newest values; a zero field means any.
type LatestFilter struct {
	Scope             Scope
	SiteID, MachineID string
	// Signal is one signal of each machine.
	Signal                                     string
	AfterSiteID, AfterMachineID, AfterSignalID string
	Limit                                      int
}

// SignalStatus is the name under which a work unit's status stands among its
// newest values.
const SignalStatus = "status"

// Scope bounds what a caller may see; empty lists mean everything.
type Scope struct {
	Sites    []string
	Machines []string
}

// Allows tells whether the machine of the site is within the scope.
func (s Scope) Allows(siteID, machineID string) bool {
	return contains(s.Sites, siteID) && contains(s.Machines, machineID)
}

func contains(list []string, s string) bool {
	if len(list) == 0 {
		return true
	}
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
