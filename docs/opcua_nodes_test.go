package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plantgate/internal/config"
)

// TestOPCUAExamples loads the configurations that the pages on OPC UA show.
func TestOPCUAExamples(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"opcua.md", "opcua-nodes.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		_, example, found := strings.Cut(string(text), "    opcua:\n")
		if !found {
			t.Fatalf("%s shows no configuration", page)
		}
		example, _, _ = strings.Cut(example, "\n\n")
		file := filepath.Join(t.TempDir(), "p.yaml")
		yaml := "opcua:\n" + strings.ReplaceAll("\n"+example, "\n    ", "\n") + "\n"
		if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := config.Load(file, nil)
		if err != nil || len(cfg.OPCUA.Connections) != 1 || len(cfg.OPCUA.Connections[0].Machines) == 0 {
			t.Errorf("%s: %v\n%s", page, err, yaml)
		}
	}
}
