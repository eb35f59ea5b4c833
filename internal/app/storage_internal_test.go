package app

import (
	"maps"
	"testing"

	"plantgate/internal/mes"
)

// TestOldDeliveriesAreBoundedByDefault: as many stay as the log of connections remembers.
func TestOldDeliveriesAreBoundedByDefault(t *testing.T) {
	t.Parallel()
	var o StorageOptions
	o.setDefaults("plant.db")
	want := map[string]int{mes.DeliveryRetained: mes.MaxRetainedDeliveries, mes.DeliveryBirth: mes.MaxBirthDeliveries}
	if !maps.Equal(o.ConnectionDeliveries, want) {
		t.Errorf("%v stay", o.ConnectionDeliveries)
	}
}
