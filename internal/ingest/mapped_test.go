package ingest_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"plantgate/internal/ingest"
	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mes"
)

// compile makes a mapping of the JSON of a spec.
func compile(t testing.TB, spec string, captures mapping.Captures) *mapping.Bound {
	t.Helper()
	var s mapping.Spec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := 0; i < len(captures); i += 2 {
		names = append(names, strings.Trim(captures[i], "{}"))
	}
	m, faults := mapping.Compile(s, names)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return &mapping.Bound{Mapping: m, Captures: captures}
}

// TestDecodeMapped runs the golden cases of mappings: each file has what a binding says
// (spec), what the door knew, the levels of the topic, the bytes, and the records.
func TestDecodeMapped(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/mapped/*.txtar")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d cases: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sections := map[string]string{}
			for _, f := range archive.Files {
				sections[f.Name] = string(f.Data)
			}
			got := describe(decodeMapped(t, sections))
			if *update {
				writeGolden(t, file, archive, got)
				return
			}
			if diff := cmp.Diff(sections["want"], got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func decodeMapped(t *testing.T, sections map[string]string) []mes.Record {
	t.Helper()
	return decodeMappedBy(t, decoder(t), sections)
}

func decodeMappedBy(t *testing.T, d ingest.Decoder, sections map[string]string) []mes.Record {
	t.Helper()
	src := ingest.Source{ReceivedAt: received}
	if s := sections["source"]; s != "" {
		if err := json.Unmarshal([]byte(s), &src); err != nil {
			t.Fatal(err)
		}
	}
	var captures mapping.Captures
	if s := sections["captures"]; s != "" {
		if err := json.Unmarshal([]byte(s), &captures); err != nil {
			t.Fatal(err)
		}
	}
	if spec := strings.TrimSpace(sections["spec"]); spec != "null" {
		src.Mapping = compile(t, spec, captures)
		src.Origin.Format = src.Mapping.Format
	}
	return d.Decode(src, []byte(strings.TrimSuffix(sections["body"], "\n")))
}
