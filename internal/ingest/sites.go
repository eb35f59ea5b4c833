package ingest

import (
	"fmt"
	"time"
)

// Sites are the plants that this server keeps data for, and their time zones.
// It is not changed after it was made.
type Sites struct {
	// Default is the site of data that names none.
	Default string
	zones   map[string]*time.Location
}

// NewSites makes a directory from site ids and IANA zone names. The default
// site must be among them.
func NewSites(defaultID string, zoneNames map[string]string) (*Sites, error) {
	s := &Sites{Default: defaultID, zones: make(map[string]*time.Location, len(zoneNames))}
	for id, name := range zoneNames {
		zone, err := time.LoadLocation(name)
		if err != nil {
			return nil, fmt.Errorf("site %s: unknown time zone %q", id, name)
		}
		s.zones[id] = zone
	}
	if _, ok := s.zones[defaultID]; !ok {
		return nil, fmt.Errorf("site %s has no time zone", defaultID)
	}
	return s, nil
}

// Zone returns the site's time zone, and false if there is no such site.
func (s *Sites) Zone(id string) (*time.Location, bool) {
	z, ok := s.zones[id]
	return z, ok
}
