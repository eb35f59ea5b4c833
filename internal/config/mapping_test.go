package config

import (
	"os"
	"path/filepath"
	"testing"

	"plantgate/internal/ingest/mapping"
)

func TestMappingFaults(t *testing.T) {
	t.Parallel()
	document := func(change func(*mapping.JSONSpec)) Subscription {
		spec := &mapping.JSONSpec{Members: mapping.Members{Machine: "/m", Time: "/t"}, Signals: []mapping.SignalSpec{{Name: "x", Pointer: "/x"}}}
		if change != nil {
			change(spec)
		}
		return Subscription{Topic: "a/{line}", Format: FormatJSON, JSON: spec}
	}
	lines := func(change func(*Subscription)) Subscription {
		s := Subscription{Topic: "a/{machine}", Format: FormatCSV, CSV: &mapping.CSVSpec{Columns: []string{"t", "x", "y"}, Members: mapping.Members{Time: "t"}}}
		if change != nil {
			change(&s)
		}
		return s
	}
	number := func(change func(*Subscription)) Subscription {
		s := Subscription{Topic: "a/{machine}/{signal}", Format: FormatNumber, Scale: "0.1"}
		if change != nil {
			change(&s)
		}
		return s
	}
	tests := map[string]struct {
		s    Subscription
		want []string
	}{
		"JSON":       {document(nil), nil},
		"CSV":        {lines(nil), nil},
		"number":     {number(nil), nil},
		"no mapping": {Subscription{Topic: "a", Format: FormatJSON}, []string{"json required"}},
		"no columns": {Subscription{Topic: "a", Format: FormatCSV}, []string{"csv required"}},
		"no value":   {document(func(j *mapping.JSONSpec) { j.Signals = nil }), []string{"json would be no value"}},
		"no machine": {document(func(j *mapping.JSONSpec) { j.Machine = "" }), []string{"machine_id names no machine"}},
		"machine of each": {document(func(j *mapping.JSONSpec) {
			j.Machine = ""
			j.Each = []mapping.EachSpec{{Path: "/l", Members: mapping.Members{Machine: "/m"}, Signals: j.Signals}}
		}), nil},
		"bad pointer":       {document(func(j *mapping.JSONSpec) { j.Machine = "m" }), []string{"json.machine begins with a slash"}},
		"bad escape":        {document(func(j *mapping.JSONSpec) { j.Signals[0].Pointer = "/a~2" }), []string{"json.signals[0].pointer ~ stands before"}},
		"no pointer":        {document(func(j *mapping.JSONSpec) { j.Signals[0].Pointer = "" }), []string{"json.signals[0].pointer whole message"}},
		"no name":           {document(func(j *mapping.JSONSpec) { j.Signals[0].Name = "" }), []string{"json.signals[0].name one of name"}},
		"two names":         {document(func(j *mapping.JSONSpec) { j.Signals[0].NamePointer = "/n" }), []string{"json.signals[0].name_pointer one of them"}},
		"captured name":     {document(func(j *mapping.JSONSpec) { j.Signals[0].Name = "{line}.x" }), nil},
		"not captured":      {document(func(j *mapping.JSONSpec) { j.Signals[0].Name = "{area}.x" }), []string{"json.signals[0].name no captured level"}},
		"key of nothing":    {document(func(j *mapping.JSONSpec) { j.Signals[0].Name = "{key}" }), []string{"json.signals[0].name only for signals of each"}},
		"open brace":        {document(func(j *mapping.JSONSpec) { j.Signals[0].Name = "{line" }), []string{"json.signals[0].name not closed"}},
		"type":              {document(func(j *mapping.JSONSpec) { j.Signals[0].Type = "int" }), []string{"json.signals[0].type must be one of"}},
		"scaled text":       {document(func(j *mapping.JSONSpec) { j.Signals[0].Type, j.Signals[0].Scale = "text", "2" }), []string{"json.signals[0].type only a number"}},
		"scale":             {document(func(j *mapping.JSONSpec) { j.Signals[0].Scale = "x" }), []string{"json.signals[0].scale not a number"}},
		"optional":          {document(func(j *mapping.JSONSpec) { j.Optional = []string{"time", "status"} }), []string{`json.optional "status" is no member`}},
		"each":              {document(func(j *mapping.JSONSpec) { j.Each = []mapping.EachSpec{{Path: "l"}} }), []string{"json.each[0] no value", "json.each[0].path begins with a slash"}},
		"time format":       {func() Subscription { s := document(nil); s.TimeFormat = "iso"; return s }(), []string{"time_format must be one of auto"}},
		"status map":        {func() Subscription { s := document(nil); s.StatusMap = map[string]string{"1": "On"}; return s }(), []string{"status_map.1 Running"}},
		"quality map":       {func() Subscription { s := document(nil); s.QualityMap = map[string]string{"192": "ok"}; return s }(), []string{"quality_map.192 StatusCode"}},
		"constant":          {func() Subscription { s := document(nil); s.Constants = map[string]any{"line": "{area}"}; return s }(), []string{"constants.line no captured level"}},
		"constant list":     {func() Subscription { s := document(nil); s.Constants = map[string]any{"line": []any{1}}; return s }(), []string{"constants.line must be a text"}},
		"of another format": {func() Subscription { s := number(nil); s.Format, s.JSON = FormatFlat, &mapping.JSONSpec{}; return s }(), []string{"json only for the format json", "scale only for the format number"}},
		"separator":         {lines(func(s *Subscription) { s.CSV.Separator = ";;" }), []string{"csv.separator one character"}},
		"comma twice":       {lines(func(s *Subscription) { s.DecimalComma = true }), []string{"csv.separator another than the comma"}},
		"both columns":      {lines(func(s *Subscription) { s.CSV.Header = true }), []string{"csv.columns one of header"}},
		"same column":       {lines(func(s *Subscription) { s.CSV.Columns[1] = "t" }), []string{"csv.columns[1] another column"}},
		"no column":         {lines(func(s *Subscription) { s.CSV.Ignore = []string{"z"} }), []string{`csv.ignore[0] "z" is no column`}},
		"two things":        {lines(func(s *Subscription) { s.CSV.Signals = []mapping.ColumnSpec{{Column: "t"}} }), []string{"csv.signals[0].column something else already"}},
		"no signal":         {number(func(s *Subscription) { s.Topic = "a/{machine}" }), []string{"signal required"}},
		"state only":        {number(func(s *Subscription) { s.Topic, s.StatusMap = "a/{machine}", map[string]string{"1": "Running"} }), nil},
		"number of none":    {number(func(s *Subscription) { s.Topic = "a/{signal}" }), []string{"machine_id names no machine"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkFaults(t, tt.s.validate("s"), "s.", tt.want)
		})
	}
}

// The keys of a mapping are read from YAML, and one that is not known is named.
func TestMappingOfAFile(t *testing.T) {
	t.Parallel()
	const file = `
mqtt:
  connections:
  - name: plant
    url: mqtt://127.0.0.1:1883
    subscriptions:
    - topic: p/{line}/{machine}
      format: json
      time_format: unix_ms
      status_map: {"1": Running, "0": Stopped}
      units: {spindle.speed: 1/min}
      constants: {line: "{line}", shift: 2, factor: 0.5, test: false}
      json:
        time: /ts
        optional: [time]
        signals:
        - {name: temperature, pointer: /t, scale: 0.1, offset: -40}
        each:
        - path: /values
          signals:
          - {name_pointer: /n, pointer: /v}
    - topic: c/{machine}
      format: csv
      csv: {separator: ";", header: true, time: ts, ignore: [note]}
`
	path := filepath.Join(t.TempDir(), "p.yaml")
	load := func(text string) (Config, error) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := Load(path, nil)
		return c, err
	}
	c, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	s := c.MQTT.Connections[0].Subscriptions[0]
	m, faults := mapping.Compile(s.Mapping(), []string{"line", "machine"})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if s.JSON.Time != "/ts" || s.JSON.Signals[0].Scale != "0.1" || s.JSON.Signals[0].Offset != "-40" || s.JSON.Each[0].Signals[0].NamePointer != "/n" {
		t.Errorf("read as %+v", s.JSON)
	}
	if len(m.Constants) != 4 || m.Units["spindle.speed"] != "1/min" || m.StatusMap["1"] != "Running" {
		t.Errorf("compiled to %+v", m)
	}
	_, err = load(file + "        header_line: true\n")
	if err == nil {
		t.Error("an unknown key below csv was taken")
	}
	_, err = load(file[:len(file)-1] + "\n      json: {machin: /m}\n")
	faulty, ok := err.(Faults) //nolint:errorlint // what Load returns
	if !ok || len(faulty) == 0 || faulty[0].Key != "mqtt.connections[0].subscriptions[1].json.machin" {
		t.Errorf("an unknown key below json: %v", err)
	}
}
