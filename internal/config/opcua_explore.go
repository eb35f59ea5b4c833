package config

import (
	"fmt"

	"plantgate/internal/mes"
)

// OPCUAWritable is a variable that callers of the API may write.
type OPCUAWritable struct {
	// Node is its node id, by nsu= or ns=.
	Node string `koanf:"node"`
	// MachineID is whose variable it is: keys that are bound to machines may write those of
	// their own only. It may be empty.
	MachineID string `koanf:"machine_id"`
	SiteID    string `koanf:"site_id"`
}

// OPCUACallable is a method that callers of the API may call.
type OPCUACallable struct {
	// Object and Method are node ids, by nsu= or ns=.
	Object    string `koanf:"object"`
	Method    string `koanf:"method"`
	MachineID string `koanf:"machine_id"`
	SiteID    string `koanf:"site_id"`
}

// validateAllowed checks what may be written and called.
func (o OPCUAConnection) validateAllowed(f *faults) {
	seen := map[string]string{}
	once := func(key, what string) {
		if other, ok := seen[what]; ok {
			f.add(key, "is listed as %s already", other)
			return
		}
		seen[what] = key
	}
	for i, w := range o.Writable {
		key := fmt.Sprintf("writable[%d]", i)
		f.check(key+".node", CheckNodeID(w.Node))
		once(key+".node", "write "+w.Node)
		checkOwner(f, key, w.SiteID, w.MachineID)
	}
	for i, c := range o.Callable {
		key := fmt.Sprintf("callable[%d]", i)
		f.check(key+".object", CheckNodeID(c.Object))
		f.check(key+".method", CheckNodeID(c.Method))
		once(key+".method", "call "+c.Object+" "+c.Method)
		checkOwner(f, key, c.SiteID, c.MachineID)
	}
}

func checkOwner(f *faults, key, siteID, machineID string) {
	if machineID != "" {
		f.check(key+".machine_id", mes.CheckID(machineID))
	}
	if siteID != "" {
		f.check(key+".site_id", mes.CheckID(siteID))
	}
}
