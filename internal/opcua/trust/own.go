package trust

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
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

// Own is the application instance certificate (OPC 10000-4, 6.1).
type Own struct {
	Chain []byte // DER, leaf first
	Key   *rsa.PrivateKey
}

// ReadOwn reads the configured certificate, else the one that was made
// on first use.
func ReadOwn(cfg config.OPCUAConnection, folder string, now time.Time) (Own, error) {
	if cfg.CertFile != "" {
		certPEM, err := os.ReadFile(cfg.CertFile)
		if err != nil {
			return Own{}, fmt.Errorf("cert_file: %w", err)
		}
		keyPEM, err := os.ReadFile(cfg.KeyFile)
		if err != nil {
			return Own{}, fmt.Errorf("key_file: %w", err)
		}
		return parseCertificate(certPEM, keyPEM)
	}
	file := filepath.Join(folder, ownCertFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = makeCertificate(folder, now)
	}
	if err != nil {
		return Own{}, fmt.Errorf("own certificate: %w", err)
	}
	return parseCertificate(text, text)
}

// ReadUser reads the certificate by which the user of a connection proves who it is.
func ReadUser(cfg config.OPCUAConnection) (Own, error) {
	certPEM, err := os.ReadFile(cfg.UserCertFile)
	if err != nil {
		return Own{}, fmt.Errorf("user_cert_file: %w", err)
	}
	keyPEM, err := os.ReadFile(cfg.UserKeyFile)
	if err != nil {
		return Own{}, fmt.Errorf("user_key_file: %w", err)
	}
	return parseCertificate(certPEM, keyPEM)
}

func parseCertificate(certPEM, keyPEM []byte) (Own, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return Own{}, Refuse("plantgate's own certificate can't be used: %v", err)
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return Own{}, Refuse("plantgate's own key must be RSA for these security policies, not %T", pair.PrivateKey)
	}
	return Own{Chain: pemBlocks(certPEM), Key: key}, nil
}

// makeCertificate makes key and certificate and returns the file's text. Of
// several that do so at once, one wins and the others read its file.
func makeCertificate(folder string, now time.Time) ([]byte, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	text, der, err := selfSigned(now)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(folder, ".opcua-client-*") // made with mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	file := filepath.Join(folder, ownCertFile)
	if err := os.Link(f.Name(), file); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return os.ReadFile(file)
		}
		return nil, err
	}
	return text, os.WriteFile(filepath.Join(folder, PublicCertFile), der, 0o644)
}

// selfSigned makes an RSA key and a certificate whose URI is the application's,
// with the uses that OPC 10000-6, 6.2.2 asks for.
func selfSigned(now time.Time) (text, der []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	uri, err := url.Parse(ApplicationURI())
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	keyID := sha256.Sum256(x509.MarshalPKCS1PublicKey(&key.PublicKey))
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "plantgate", Organization: []string{"plantgate"}},
		NotBefore:             now.Add(-time.Hour), // clocks of the floor may be behind
		NotAfter:              now.Add(ownCertLife),
		URIs:                  []*url.URL{uri},
		DNSNames:              []string{hostName()},
		SubjectKeyId:          keyID[:20],
		BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment |
			x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), der, nil
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
