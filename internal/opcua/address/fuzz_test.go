package address

import (
	"testing"

	"github.com/gopcua/opcua/ua"
)

// FuzzText: a node id that is written with its namespace's URI is read as the same again,
// whatever the URI.
func FuzzText(f *testing.F) {
	f.Add("ns=1;s=a;b", "urn:x")
	f.Add("ns=1;i=5", "urn:a;b%3Bc")
	f.Add("s=x", "%")
	f.Add("ns=1;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63", "")
	f.Fuzz(func(t *testing.T, text, uri string) {
		id, err := ua.ParseNodeID(text)
		if err != nil {
			return
		}
		namespaces := []string{"http://opcfoundation.org/UA/", uri}
		if uri == namespaces[0] {
			return
		}
		written := Text(id, namespaces)
		back, err := Resolve(written, namespaces)
		if err != nil || back.String() != id.String() {
			t.Fatalf("%q is written %q and read as %v (%v)", id, written, back, err)
		}
	})
}
