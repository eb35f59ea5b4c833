package address

import "testing"

func TestResolve(t *testing.T) {
	t.Parallel()
	namespaces := []string{"http://opcfoundation.org/UA/", "urn:first", "urn:a;b%c"}
	for text, want := range map[string]string{
		"ns=1;s=Objects/MyFolder/MyStoredVariable": "ns=1;s=Objects/MyFolder/MyStoredVariable",
		"nsu=urn:first;i=70000":                    "ns=1;i=70000",
		"nsu=urn:a%3Bb%25c;s=x;y":                  "ns=2;s=x;y",
		"nsu=urn:gone;i=1":                         "",
	} {
		got, err := Resolve(text, namespaces)
		if (err == nil) != (want != "") || (err == nil && got.String() != want) {
			t.Errorf("Resolve(%q) = %v, %v; want %q", text, got, err, want)
		}
	}
}
