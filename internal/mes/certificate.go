package mes

import (
	"math"
	"time"
)

// CertificateState is what is known of the certificate of an OPC UA server.
type CertificateState string

// The states. A certificate is parked until somebody decides.
const (
	CertificateParked   CertificateState = "parked"
	CertificateApproved CertificateState = "approved"
	CertificateRejected CertificateState = "rejected"
)

// ServerCertificate is one that the server of an OPC UA connection has shown, and for which
// nothing in the configuration vouches.
type ServerCertificate struct {
	// Thumbprint is the SHA-256 of DER in hexadecimal.
	Thumbprint string           `json:"thumbprint"`
	DER        []byte           `json:"der"`
	State      CertificateState `json:"state"`
	// Reason is why it is not trusted by itself.
	Reason    string    `json:"reason"`
	FirstSeen time.Time `json:"first_seen"`
	// DecidedAt and DecidedBy are of the last decision.
	DecidedAt time.Time `json:"decided_at,omitzero"`
	DecidedBy string    `json:"decided_by,omitempty"`
}

// CertificateUse is whose certificate it is.
type CertificateUse string

// The uses of certificates in an OPC UA connection.
const (
	CertificateOfClient CertificateUse = "client" // plantgate's own
	CertificateOfUser   CertificateUse = "user"
	CertificateOfServer CertificateUse = "server"
)

// CertificateEnd tells until when a certificate is valid.
type CertificateEnd struct {
	Use      CertificateUse `json:"use"`
	NotAfter time.Time      `json:"not_after"`
}

// Days are the whole days that are left; negative once it has expired.
func (c CertificateEnd) Days(now time.Time) int {
	return int(math.Floor(c.NotAfter.Sub(now).Hours() / 24))
}
