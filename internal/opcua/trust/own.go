package trust

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"time"

	"plantgate/internal/config"
)

// Names in the folder of the own certificate. Key and certificate stand in one
// file, so that they can't disagree; the public one is what servers are to trust.
const (
	ownCertFile    = "opcua-client.pem"
	PublicCertFile = "opcua-client.der"
)

// ownCertLife is long, since every server of the plant has to be told of a new
// certificate by hand.
const ownCertLife = 10 * 365 * 24 * time.Hour

// Own is the application instance certificate (OPC 10000-4, 6.1), or that of a user.
type Own struct {
	Chain []byte // DER, leaf first
	Leaf  *x509.Certificate
	Key   *rsa.PrivateKey
	// File names what servers are to trust: a file in the folder of the own certificate,
	// or the setting of a configured one.
	File string
	// Next names the file of the certificate that takes the place of this one, where this
	// one ends soon; NextFault is why there is none.
	Next      string
	NextFault error
}

// ReadOwn reads the configured certificate, else the one that was made on first use, and
// sees to the successor of one that ends soon. With a Refusal of a certificate that is not
// valid it returns that certificate too.
func ReadOwn(cfg config.OPCUAConnection, folder string, now time.Time) (Own, error) {
	if cfg.CertFile != "" {
		return readConfigured(cfg.CertFile, cfg.KeyFile, "", now)
	}
	return readMade(folder, now)
}

// ReadUser reads the certificate by which the user of a connection proves who it is. With a
// Refusal of one that is not valid it returns that certificate too.
func ReadUser(cfg config.OPCUAConnection, now time.Time) (Own, error) {
	return readConfigured(cfg.UserCertFile, cfg.UserKeyFile, "user_", now)
}

// readConfigured reads the files of the settings cert_file and key_file, with a prefix.
func readConfigured(certFile, keyFile, prefix string, now time.Time) (Own, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return Own{}, fmt.Errorf("%scert_file: %w", prefix, err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return Own{}, fmt.Errorf("%skey_file: %w", prefix, err)
	}
	own, err := parseCertificate(certPEM, keyPEM, prefix+"cert_file")
	if err != nil {
		return Own{}, err
	}
	switch c := own.Leaf; {
	case now.After(c.NotAfter):
		err = Refuse("the certificate of %scert_file (%s) expired on %s: put a renewed one there, and let the server trust it",
			prefix, c.Subject, c.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(c.NotBefore):
		err = Refuse("the certificate of %scert_file (%s) is valid only from %s: check the clock of this machine",
			prefix, c.Subject, c.NotBefore.UTC().Format(time.DateTime))
	}
	return own, err
}

// parseCertificate reads a certificate and its key; name is told in errors.
func parseCertificate(certPEM, keyPEM []byte, name string) (Own, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return Own{}, Refuse("the certificate of %s can't be used: %v", name, err)
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return Own{}, Refuse("the key of %s must be RSA for these security policies, not %T", name, pair.PrivateKey)
	}
	if bits := key.N.BitLen(); bits < minKey {
		return Own{}, Refuse("the key of %s has %d bits: these security policies need %d", name, bits, minKey)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return Own{}, Refuse("the certificate of %s can't be used: %v", name, err)
	}
	return Own{Chain: pemBlocks(certPEM), Leaf: leaf, Key: key, File: name}, nil
}

// selfSigned makes an RSA key and a certificate whose URI is the application's, with the
// uses that OPC 10000-6, 6.2.2 asks for. It is for the same application and hosts as an
// earlier one, if there is any.
func selfSigned(now time.Time, earlier *x509.Certificate) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse(ApplicationURI())
	if err != nil {
		return nil, err
	}
	uris, hosts := []*url.URL{uri}, []string{hostName()}
	if earlier != nil {
		uris, hosts = earlier.URIs, earlier.DNSNames
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	keyID := sha256.Sum256(x509.MarshalPKCS1PublicKey(&key.PublicKey))
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "plantgate", Organization: []string{"plantgate"}},
		NotBefore:             now.Add(-time.Hour), // clocks of the floor may be behind
		NotAfter:              now.Add(ownCertLife),
		URIs:                  uris,
		DNSNames:              hosts,
		SubjectKeyId:          keyID[:20],
		BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment |
			x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), nil
}

// ApplicationURI names this installation; a configured certificate's URI takes
// its place.
func ApplicationURI() string { return "urn:" + hostName() + ":plantgate" }

func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

func pemBlocks(text []byte) []byte {
	var der []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			der = append(der, block.Bytes...)
		}
	}
	return der
}
