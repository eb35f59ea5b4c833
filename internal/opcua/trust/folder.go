package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"plantgate/internal/durable"
)

// The parts of a trust folder. Certificates and revocation lists are DER or PEM.
const (
	// trustedFolder has the certificates of servers, issuersFolder those of CAs, crlFolder
	// their revocation lists.
	trustedFolder = "trusted"
	issuersFolder = "issuers"
	crlFolder     = "crl"
	// approvedFolder is the program's: what was approved, for times when the database is
	// away.
	approvedFolder = "approved"
)

// files are the contents of a part of the folder; a folder that is not there has none.
func (j *Judge) files(part string) (map[string][]byte, error) {
	if j.Folder == "" {
		return nil, nil
	}
	folder := filepath.Join(j.Folder, part)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		files[e.Name()] = text
	}
	return files, nil
}

// has tells whether a certificate lies in a part of the folder.
func (j *Judge) has(part string, der []byte) (bool, error) {
	files, err := j.files(part)
	if err != nil {
		return false, fmt.Errorf("trust_folder: %w", err)
	}
	for _, text := range files {
		if bytes.Equal(text, der) || bytes.Contains(pemBlocks(text), der) {
			return true, nil
		}
	}
	return false, nil
}

// issuers are the CAs of the folder. A file that is no certificate is a fault; beside it are
// the others.
func (j *Judge) issuers() ([]*x509.Certificate, error) {
	files, err := j.files(issuersFolder)
	if err != nil {
		return nil, fmt.Errorf("trust_folder: %w", err)
	}
	var list []*x509.Certificate
	var fault error
	for name, text := range files {
		der := text
		if block, _ := pem.Decode(text); block != nil {
			der = pemBlocks(text)
		}
		certs, err := x509.ParseCertificates(der)
		if err != nil {
			fault = Refuse("%s/%s in trust_folder is no certificate: %v", issuersFolder, name, err)
		}
		list = append(list, certs...)
	}
	return list, fault
}

// isRevoked tells whether an issuer's list names the certificate, as far as lists can be
// read: the error is about one that can't.
func (j *Judge) isRevoked(leaf *x509.Certificate, issuers []*x509.Certificate) (bool, error) {
	files, err := j.files(crlFolder)
	if err != nil {
		return false, fmt.Errorf("trust_folder: %w", err)
	}
	var fault error
	for name, text := range files {
		der := text
		if block, _ := pem.Decode(text); block != nil {
			der = block.Bytes
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			fault = Refuse("%s/%s in trust_folder is no revocation list: %v", crlFolder, name, err)
			continue
		}
		if !isSigned(list, issuers) || !bytes.Equal(list.RawIssuer, leaf.RawIssuer) {
			continue
		}
		for _, e := range list.RevokedCertificateEntries {
			if e.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
				return true, nil
			}
		}
	}
	return false, fault
}

func isSigned(list *x509.RevocationList, issuers []*x509.Certificate) bool {
	for _, ca := range issuers {
		if list.CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
}

// remember keeps what was approved beside the program, forget removes it. That fails
// nothing: it is for times when the database is away.
func (j *Judge) remember(connection string, der []byte) {
	if j.Folder == "" {
		return
	}
	file := j.approvedFile(connection, der)
	if _, err := os.Stat(file); err == nil {
		return
	}
	if durable.CreateFolder(filepath.Dir(file)) == nil {
		_ = os.WriteFile(file, der, 0o644)
	}
}

func (j *Judge) forget(connection string, der []byte) {
	if j.Folder != "" {
		_ = os.Remove(j.approvedFile(connection, der))
	}
}

func (j *Judge) approvedFile(connection string, der []byte) string {
	return filepath.Join(j.Folder, approvedFolder, connection+"-"+thumbprintOf(der)+".der")
}

func (j *Judge) remembers(connection string, der []byte) bool {
	if j.Folder == "" {
		return false
	}
	kept, err := os.ReadFile(j.approvedFile(connection, der))
	return err == nil && bytes.Equal(kept, der)
}
