package sparkplug

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strings"
)

// compressed is the uuid of a payload whose body is another one, compressed. It is no
// part of the specification; Tahu's clients and what follows them do it.
const compressed = "SPBV1.0_COMPRESSED"

// maxDecompressed bounds what a compressed payload may become, in bytes.
const maxDecompressed = 16 << 20

// decompress returns the payload in the body, which the metric "algorithm" says how to
// read: DEFLATE (with the header of zlib), which is the default, or GZIP.
func (p *Payload) decompress() ([]byte, error) {
	algorithm := "DEFLATE"
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.Name == "algorithm" && m.value.kind == stringValue {
			algorithm = strings.ToUpper(string(m.value.bytes))
		}
	}
	var r io.Reader
	var err error
	switch algorithm {
	case "DEFLATE":
		r, err = zlib.NewReader(bytes.NewReader(p.body))
	case "GZIP":
		r, err = gzip.NewReader(bytes.NewReader(p.body))
	default:
		return nil, fmt.Errorf("the payload is compressed by %.40q, not by DEFLATE or GZIP", algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("the compressed payload can't be read: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxDecompressed+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the compressed payload can't be read: %w", err)
	case len(b) > maxDecompressed:
		return nil, fmt.Errorf("the compressed payload has more than %d bytes", maxDecompressed)
	}
	return b, nil
}
