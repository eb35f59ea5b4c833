package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/mes"
)

func testEquipment(t *testing.T, s Store) {
	early, late := NewRecord("s", "m", day), NewRecord("s", "m", day.Add(time.Hour))
	early.ReceivedAt = day.Add(3 * time.Hour) // arrives last
	early.Origin.Door = mes.DoorMQTT
	Append(t, s, late)
	Append(t, s, early)
	want := mes.Equipment{
		SiteID: "s", ID: "m", Level: mes.LevelWorkUnit, AutoRegistered: true,
		CreatedAt: late.ReceivedAt, LastReceivedAt: early.ReceivedAt, LastTime: late.Time,
		Doors: []mes.Door{mes.DoorREST, mes.DoorMQTT},
	}
	got, err := s.Equipment(t.Context(), "s", "m")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("equipment (-want +got):\n%s", diff)
	}
	Append(t, s, NewRecord("s", "a", day), NewRecord("r", "z", day), NewRecord("t", "b", day))
	for name, c := range map[string]struct {
		filter mes.EquipmentFilter
		want   []string
	}{
		"all":     {mes.EquipmentFilter{}, []string{"r~z", "s~a", "s~m", "t~b"}},
		"site":    {mes.EquipmentFilter{SiteID: "s"}, []string{"s~a", "s~m"}},
		"level":   {mes.EquipmentFilter{Level: mes.LevelArea}, nil},
		"door":    {mes.EquipmentFilter{Door: mes.DoorMQTT}, []string{"s~m"}},
		"page":    {mes.EquipmentFilter{AfterSiteID: "r", AfterID: "z", Limit: 2}, []string{"s~a", "s~m"}},
		"sites":   {mes.EquipmentFilter{Scope: mes.Scope{Sites: []string{"r", "t"}}}, []string{"r~z", "t~b"}},
		"machine": {mes.EquipmentFilter{Scope: mes.Scope{Machines: []string{"m"}}}, []string{"s~m"}},
	} {
		list, err := s.EquipmentList(t.Context(), c.filter)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range list {
			names = append(names, e.SiteID+"~"+e.ID)
		}
		if diff := cmp.Diff(c.want, names); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if known, err := s.KnowsEquipment(t.Context(), "r", "m"); known || err != nil {
		t.Errorf("an id of another site is known: %v", err)
	}
	if known, err := s.KnowsEquipment(t.Context(), "s", "m"); !known || err != nil {
		t.Errorf("a work unit is not known: %v", err)
	}
	if _, err := s.Equipment(t.Context(), "r", "m"); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("an unknown work unit: %v", err)
	}
}

func testSites(t *testing.T, s Store) {
	site := mes.Equipment{SiteID: "s", ID: "s", Level: mes.LevelSite, Name: "Plant", TimeZone: "Asia/Kolkata", CreatedAt: day}
	if err := s.PutSites(t.Context(), []mes.Equipment{site}); err != nil {
		t.Fatal(err)
	}
	renamed := site
	renamed.Name, renamed.CreatedAt = "Plant 1", day.Add(time.Hour)
	if err := s.PutSites(t.Context(), []mes.Equipment{renamed}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Equipment(t.Context(), "s", "s")
	if err != nil {
		t.Fatal(err)
	}
	want := renamed
	want.CreatedAt = site.CreatedAt
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("site (-want +got):\n%s", diff)
	}
	if known, err := s.KnowsEquipment(t.Context(), "s", "s"); known || err != nil {
		t.Errorf("a site passed for a work unit: %v", err)
	}
}
