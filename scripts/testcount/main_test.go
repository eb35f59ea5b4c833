package main

import (
	"strings"
	"testing"
)

// Failures count once each, a package that could not be built or died counts as
// one, and what failed is shown with its output.
func TestCounter(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		events         string
		passed, failed int
		shown          string
	}{
		"all well": {`{"Action":"output","Package":"p","Test":"A","Output":"noise\n"}
{"Action":"pass","Package":"p","Test":"A"}
{"Action":"pass","Package":"p","Elapsed":0.5}
`, 1, 0, "ok   p 0.5s (1 passed)\n"},
		"one failed": {`{"Action":"pass","Package":"p","Test":"A"}
{"Action":"output","Package":"p","Test":"B","Output":"    b_test.go:1: no\n"}
{"Action":"fail","Package":"p","Test":"B"}
{"Action":"fail","Package":"p","Elapsed":1}
`, 1, 1, "    b_test.go:1: no\nFAIL p 1.0s\n"},
		"died": {`{"Action":"output","Package":"p","Test":"A","Output":"panic: x\n"}
{"Action":"fail","Package":"p","Elapsed":1}
`, 0, 1, "panic: x\nFAIL p 1.0s\n"},
		"not built": {`{"Action":"build-output","ImportPath":"p","Output":"p.go:1: undefined\n"}
{"Action":"output","Package":"p","Output":"FAIL p [build failed]\n"}
{"Action":"fail","Package":"p","Elapsed":0}
`, 0, 1, "p.go:1: undefined\nFAIL p [build failed]\nFAIL p 0.0s\n"},
		"skipped": {`{"Action":"output","Package":"p","Test":"A","Output":"    needs curl\n"}
{"Action":"skip","Package":"p","Test":"A"}
`, 0, 0, "    needs curl\n"},
		"not JSON": {"# p\n", 0, 0, "# p\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			c := newCounter(&out)
			if err := c.read(strings.NewReader(tt.events)); err != nil {
				t.Fatal(err)
			}
			if c.passed != tt.passed || c.failed != tt.failed || out.String() != tt.shown {
				t.Errorf("%d passed, %d failed, shown %q; want %d, %d, %q",
					c.passed, c.failed, out.String(), tt.passed, tt.failed, tt.shown)
			}
		})
	}
}
