package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// hostList is what a leaf vouches for, sorted and without doubles.
type hostList struct {
	names     []string
	addresses []net.IP
}

// allHosts returns what a client on this machine or in its networks may call
// the server: localhost and the loopback addresses, the machine's name, the
// addresses of its interfaces, and the configured hosts.
func allHosts(configured []string) (hostList, error) {
	var h hostList
	h.add("localhost")
	h.add("127.0.0.1")
	h.add("::1")
	if name, err := os.Hostname(); err == nil {
		h.add(name)
	}
	if addresses, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				h.add(n.IP.String())
			}
		}
	}
	for _, host := range configured {
		if !h.add(host) {
			return hostList{}, fmt.Errorf("server.tls.hosts: %q is neither a host name nor an address", host)
		}
	}
	h.sort()
	return h, nil
}

// add tells whether the host is one; others are left out.
func (h *hostList) add(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		h.addresses = append(h.addresses, ip)
		return true
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if !isHostName(name) {
		return false
	}
	h.names = append(h.names, name)
	return true
}

func (h *hostList) sort() {
	slices.Sort(h.names)
	h.names = slices.Compact(h.names)
	slices.SortFunc(h.addresses, func(a, b net.IP) int { return bytes.Compare(a.To16(), b.To16()) })
	h.addresses = slices.CompactFunc(h.addresses, net.IP.Equal)
}

func (h *hostList) equal(other hostList) bool {
	return slices.Equal(h.names, other.names) && slices.EqualFunc(h.addresses, other.addresses, net.IP.Equal)
}

func hostsOf(cert *x509.Certificate) *hostList {
	h := &hostList{names: slices.Clone(cert.DNSNames), addresses: slices.Clone(cert.IPAddresses)}
	h.sort()
	return h
}

// isHostName follows RFC 1123 (2.1), and allows a leading "*." as certificates
// do.
func isHostName(name string) bool {
	name = strings.TrimPrefix(name, "*.")
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// subjectKeyID is the leading 160 bits of the key's SHA-256 (RFC 7093, 2,
// method 1).
func subjectKeyID(key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err) // a P-256 key has an encoding
	}
	sum := sha256.Sum256(der)
	return sum[:20]
}
