package address

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/browsepath"
)

var plantNamespaces = []string{"http://opcfoundation.org/UA/", "urn:server", "urn:plant"}

// plantSpace is Objects with two lines of machines, the Server object, and a circle.
func plantSpace() *space {
	s := newSpace()
	objects := ua.NewNumericNodeID(0, id.ObjectsFolder)
	s.refer(Root(), objects, id.Organizes, 0, "Objects", ua.NodeClassObject, nil)
	server := ua.NewNumericNodeID(0, id.Server)
	s.refer(objects, server, id.Organizes, 0, "Server", ua.NodeClassObject, nil)
	s.refer(server, ua.NewNumericNodeID(0, 2258), id.HasComponent, 0, "CurrentTime", ua.NodeClassVariable, nil)
	machines := s.object(objects, 2, "Machines", "Machines")
	for i := range 5 {
		key := fmt.Sprintf("M%d", i)
		m := s.object(machines, 2, key, key)
		status := s.object(m, 2, key+"/Status", "Status")
		for _, v := range []string{"Speed", "State", "Good.Parts", "a", "b"} {
			s.variable(status, 2, key+"/Status/"+v, v)
		}
		s.refer(status, machines, id.Organizes, 2, "Back", ua.NodeClassObject, nil)
	}
	s.variable(machines, 2, "Count", "Count")
	return s
}

func expand(t *testing.T, s *space, text string, most int) ([]string, error) {
	t.Helper()
	p, err := browsepath.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	found, err := NewWalker(s, plantNamespaces, new(Server)).Expand(t.Context(), Root(), p, most)
	var list []string
	for _, m := range found {
		list = append(list, m.NodeID.StringID()+" "+strings.Join(m.Captures, "="))
	}
	slices.Sort(list)
	return list, err
}

func TestExpand(t *testing.T) {
	t.Parallel()
	for name, noTranslate := range map[string]bool{"translate": false, "browse": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for text, want := range map[string]struct {
				count int
				among string
			}{
				"/Objects/nsu=urn:plant;Machines/{machine}/nsu=urn:plant;Status/{signal}": {25, "M3/Status/Speed {machine}=M3={signal}=Speed"},
				"Objects/2:Machines/M*/*:Status/2:Speed":                                  {5, "M0/Status/Speed "},
				"Objects/2:Machines/*":                                                    {1, "Count "},
				"Objects/2:Machines/M{n}/**/{signal}":                                     {130, "M4/Status/a {n}=4={signal}=a"},
				"/Objects/**":                                                             {26, "M4/Status/b "},
				"/Objects/**/2:Good&.Parts":                                               {5, "M1/Status/Good.Parts "},
				"/Objects/2:Machines/M1/*.*":                                              {0, ""},
				"/Objects/2:Machines/2:M1/2:Status.*":                                     {5, "M1/Status/a "},
				"/Objects/2:Machines/2:M1/2:Status<Organizes>*":                           {0, ""},
				"/Objects/2:Machines/3:*/*":                                               {0, ""},
				"/Objects/*/*":                                                            {1, "Count "},
				"/Objects/Server/*":                                                       {1, " "},
			} {
				s := plantSpace()
				s.noTranslate = noTranslate
				if strings.Contains(text, "<") {
					s.refer(ua.NewNumericNodeID(0, id.References), ua.NewNumericNodeID(0, id.Organizes), id.HasSubtype, 0, "Organizes", ua.NodeClassReferenceType, nil)
				}
				got, err := expand(t, s, text, 1000)
				if err != nil || len(got) != want.count || want.among != "" && !slices.Contains(got, want.among) {
					t.Errorf("%s: %d nodes %q (%v), want %d with %q", text, len(got), got, err, want.count, want.among)
				}
				if len(s.open) != 0 {
					t.Errorf("%s: %d continuation points are left at the server", text, len(s.open))
				}
			}
		})
	}
}

func TestExpandIsBounded(t *testing.T) {
	t.Parallel()
	got, err := expand(t, plantSpace(), "/Objects/**", 10)
	if !IsFault(err) || len(got) != 10 || !strings.Contains(err.Error(), "more than 10 nodes") {
		t.Errorf("%d nodes, %v", len(got), err)
	}
	if _, err := expand(t, plantSpace(), "/Objects/nsu=urn:gone;*/x", 10); err != nil {
		t.Errorf("a namespace that no wildcard meets: %v", err)
	}
	if _, err := expand(t, plantSpace(), "/Objects/nsu=urn:gone;M/*", 10); !IsFault(err) || !strings.Contains(err.Error(), "urn:gone") {
		t.Errorf("a namespace that is not there: %v", err)
	}
}

// endless goes on with answers that have nothing.
type endless struct {
	*space
	next int
}

func (e *endless) Browse(_ context.Context, req *ua.BrowseRequest) (*ua.BrowseResponse, error) {
	res := &ua.BrowseResponse{}
	for range req.NodesToBrowse {
		res.Results = append(res.Results, &ua.BrowseResult{ContinuationPoint: []byte("x")})
	}
	return res, nil
}

func (e *endless) BrowseNext(_ context.Context, req *ua.BrowseNextRequest) (*ua.BrowseNextResponse, error) {
	if e.next++; req.ReleaseContinuationPoints || e.next > 1000 {
		return &ua.BrowseNextResponse{Results: []*ua.BrowseResult{{}}}, nil
	}
	return &ua.BrowseNextResponse{Results: []*ua.BrowseResult{{ContinuationPoint: []byte("x")}}}, nil
}

// TestBrowseWithoutEnd: a server that goes on for ever holds nobody up.
func TestBrowseWithoutEnd(t *testing.T) {
	t.Parallel()
	c := &endless{space: newSpace()}
	p, err := browsepath.Parse("/Objects/*")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewWalker(c, nil, &Server{noTranslate: true}).Expand(t.Context(), Root(), p, 10); err != nil || c.next > 20 {
		t.Errorf("%v after %d answers", err, c.next)
	}
}

// TestPlacesAreBounded: circles and captures multiply the places that a pattern leads to.
func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	s := newSpace()
	s.page, s.most = 1000, 1000
	objects := s.object(Root(), 0, "objects", "Objects")
	const n = 20
	for i := range n {
		one := s.object(objects, 1, fmt.Sprint("m", i), fmt.Sprint("m", i))
		s.refer(one, objects, id.Organizes, 1, "all", ua.NodeClassObject, nil)
	}
	p, err := browsepath.Parse("/Objects/1:{a}/**/1:{b}/**")
	if err != nil {
		t.Fatal(err)
	}
	w := NewWalker(s, []string{"", "urn:x"}, &Server{})
	w.most = n * n
	if _, err := w.Expand(t.Context(), Root(), p, 10); !IsFault(err) || !strings.Contains(err.Error(), "places") {
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	for name, noTranslate := range map[string]bool{"translate": false, "browse": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := plantSpace()
			s.noTranslate = noTranslate
			// Two nodes of one name, and a path of each kind.
			objects := ua.NewNumericNodeID(0, id.ObjectsFolder)
			s.object(objects, 2, "twin1", "Twin")
			s.object(objects, 2, "twin2", "Twin")
			texts := []string{
				"/Objects/2:Machines/2:M2/2:Status/2:Good&.Parts",
				"/Objects/nsu=urn:plant;Machines/2:M2/2:Status.2:State",
				"/Objects/2:Machines/M2",
				"/Objects/2:Machines/2:M9/2:Status",
				"/Objects/2:Twin",
				"/Objects/nsu=urn:gone;x",
				"/Objects<HasNothing>2:x",
			}
			var starts []Start
			for _, text := range texts {
				starts = append(starts, Start{Root(), mustParse(text)})
			}
			nodes, faults, err := NewWalker(s, plantNamespaces, new(Server)).Find(t.Context(), starts)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []string{"ns=2;s=M2/Status/Good.Parts", "ns=2;s=M2/Status/State", "", "", "", "", ""} {
				if (nodes[i] == nil) != (want == "") || nodes[i] != nil && nodes[i].String() != want {
					t.Errorf("%s is %v, want %q", texts[i], nodes[i], want)
				}
			}
			for i, want := range []string{"", "", "there is /Objects/2:Machines/nsu=urn:plant;M2", "at /Objects/2:Machines/2:M9", "2 nodes", "urn:gone", "no reference type HasNothing"} {
				if (faults[i] == nil) != (want == "") || faults[i] != nil && !strings.Contains(faults[i].Error(), want) {
					t.Errorf("%s: %v, want %q", texts[i], faults[i], want)
				}
			}
		})
	}
}

// TestLimitsAreKept: no call is larger than the server says.
func TestLimitsAreKept(t *testing.T) {
	t.Parallel()
	s := plantSpace()
	var starts []Start
	for i := range 40 {
		starts = append(starts, Start{Root(), mustParse(fmt.Sprintf("/Objects/2:Machines/2:M%d/2:Status/2:Speed", i%5))})
	}
	if _, faults, err := NewWalker(s, plantNamespaces, &Server{translate: 4}).Find(t.Context(), starts); err != nil || slices.ContainsFunc(faults, func(e error) bool { return e != nil }) {
		t.Fatal(err, faults)
	}
	if s.calls["translate"] != 10 {
		t.Errorf("%d calls for 40 paths at 4 a call", s.calls["translate"])
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	s := plantSpace()
	objects := ua.NewNumericNodeID(0, id.ObjectsFolder)
	enum, coded, double := ua.NewNumericNodeID(2, 3000), ua.NewNumericNodeID(2, 3001), ua.NewNumericNodeID(0, id.Double)
	property := func(of *ua.NodeID, name string, value any) {
		n := ua.NewStringNodeID(2, of.String()+name)
		s.refer(of, n, id.HasProperty, 0, name, ua.NodeClassVariable, nil)
		s.values[n.String()] = value
	}
	property(enum, "EnumStrings", []*ua.LocalizedText{ua.NewLocalizedText("Off"), ua.NewLocalizedText("On")})
	property(coded, "EnumValues", []*ua.ExtensionObject{
		ua.NewExtensionObject(&ua.EnumValueType{Value: -5, DisplayName: ua.NewLocalizedText("Below"), Description: ua.NewLocalizedText("")}),
	})
	property(double, "EnumStrings", []*ua.LocalizedText{ua.NewLocalizedText("never asked for")})
	var nodes []*ua.NodeID
	for name, typ := range map[string]*ua.NodeID{"E": enum, "C": coded, "D": double, "T": ua.NewNumericNodeID(0, id.Boolean)} {
		n := s.variable(objects, 2, name, name)
		s.types[n.String()] = typ
		nodes = append(nodes, n)
	}
	property(ua.NewStringNodeID(2, "T"), "TrueState", ua.NewLocalizedText("Open"))
	property(ua.NewStringNodeID(2, "T"), "FalseState", ua.NewLocalizedText("Shut"))
	got, err := NewWalker(s, plantNamespaces, new(Server)).Texts(t.Context(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]string{
		"E": {"0": "Off", "1": "On"}, "C": {"-5": "Below"}, "D": nil, "T": {"true": "Open", "false": "Shut"},
	}
	for i, n := range nodes {
		if !reflect.DeepEqual(got[i], want[n.StringID()]) {
			t.Errorf("%s: %v, want %v", n.StringID(), got[i], want[n.StringID()])
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	namespaces := []string{"http://opcfoundation.org/UA/", "urn:a;b%c"}
	for text, want := range map[string]string{
		"ns=1;s=x;y": "nsu=urn:a%3Bb%25c;s=x;y",
		"i=2258":     "i=2258",
		"ns=7;i=1":   "ns=7;i=1",
		"ns=1;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63": "nsu=urn:a%3Bb%25c;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63",
	} {
		n, err := ua.ParseNodeID(text)
		if err != nil {
			t.Fatal(err)
		}
		got := Text(n, namespaces)
		if got != want {
			t.Errorf("%s is written %s, want %s", text, got, want)
		}
		if back, err := Resolve(got, namespaces); err != nil || back.String() != n.String() {
			t.Errorf("%s is read as %v (%v)", got, back, err)
		}
	}
	if got, want := Config(ua.NewStringNodeID(1, `a"b`), namespaces, "speed", "b", "mm/s", "  "),
		"  - node_id: \"nsu=urn:a%3Bb%25c;s=a\\\"b\"\n    signal: \"speed\"\n    unit: \"mm/s\"\n"; got != want {
		t.Errorf("as configuration:\n%s\nwant\n%s", got, want)
	}
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	s := newSpace()
	namespaces := []string{"http://opcfoundation.org/UA/", "http://opcfoundation.org/UA/DI/", machineryURI, packMLURI}
	objects := ua.NewNumericNodeID(0, id.ObjectsFolder)
	machines := ua.NewNumericNodeID(2, 1001)
	s.refer(objects, machines, id.Organizes, 2, "Machines", ua.NodeClassObject, nil)
	saw := s.object(machines, 2, "Saw", "Saw")
	blocks := s.object(saw, 2, "Saw/B", "MachineryBuildingBlocks")
	item := s.object(blocks, 2, "Saw/B/S", "MachineryItemState")
	current := ua.NewStringNodeID(2, "Saw/B/S/C")
	s.refer(item, current, id.HasComponent, 0, "CurrentState", ua.NodeClassVariable, nil)
	s.refer(current, ua.NewStringNodeID(2, "Saw/B/S/C/Id"), id.HasProperty, 0, "Id", ua.NodeClassVariable, nil)
	// Of PackML: below the saw, and an instance of a subtype elsewhere.
	own := ua.NewNumericNodeID(2, 77)
	s.refer(ua.NewNumericNodeID(3, 6), own, id.HasSubtype, 2, "OwnType", ua.NodeClassObjectType, nil)
	for key, in := range map[string]*ua.NodeID{"Unit": saw, "Filler": objects} {
		typ := own
		if key == "Unit" {
			typ = ua.NewNumericNodeID(3, 6)
		}
		unit := ua.NewStringNodeID(2, key)
		s.refer(in, unit, id.HasComponent, 2, key, ua.NodeClassObject, typ)
		status := s.object(unit, 3, key+"/Status", "Status")
		s.variable(status, 3, key+"/Status/MachSpeed", "MachSpeed")
	}
	w := NewWalker(s, namespaces, new(Server))
	got, err := w.Discover(t.Context(), Machinery)
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	d := got[0]
	name := d.States["ns=2;i=5006"]
	if d.Machine != "Saw" || d.Signal != "MachineryItemState" || d.NodeID.StringID() != "Saw/B/S/C/Id" || name != "Executing" ||
		d.Status[name] != mes.Running || d.States["nsu="+machineryURI+";i=5006"] != name {
		t.Errorf("%+v", d)
	}
	got, err = w.Discover(t.Context(), PackML)
	var list []string
	for _, d := range got {
		list = append(list, d.Machine+" "+d.Signal+" "+d.NodeID.StringID())
	}
	slices.Sort(list)
	if want := []string{"Filler MachSpeed Filler/Status/MachSpeed", "Saw MachSpeed Unit/Status/MachSpeed"}; err != nil || !slices.Equal(list, want) {
		t.Errorf("%q, %v, want %q", list, err, want)
	}
	if _, err := NewWalker(plantSpace(), plantNamespaces, new(Server)).Discover(t.Context(), PackML); !IsFault(err) || !strings.Contains(err.Error(), packMLURI) {
		t.Errorf("a server without PackML: %v", err)
	}
}
