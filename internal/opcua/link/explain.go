package link

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uacp"

	"plantgate/internal/config"
	"plantgate/internal/opcua/trust"
)

// ErrFull means that the server has no session left to give.
var ErrFull = errors.New("the server takes no more sessions")

// explain turns the server's refusals into words that say what to do. own is the client's
// certificate, of a connection with security. A server that does not trust the certificate
// may just end the connection: it does send a reason, but the library drops it. That may
// pass, so it is no refusal.
func explain(err error, cfg config.OPCUAConnection, own trust.Own) error {
	var code ua.StatusCode
	var transport *uacp.Error
	switch {
	case errors.As(err, &transport): // the server closed the connection with a reason
		code = ua.StatusCode(transport.ErrorCode)
	case cfg.Secured() && errors.Is(err, io.EOF):
		return fmt.Errorf("the server ended the secured connection; "+
			"if that goes on, let it trust plantgate's certificate (%s): %w", own.File, err)
	case !errors.As(err, &code):
		return err
	}
	switch code {
	case ua.StatusBadUserAccessDenied, ua.StatusBadIdentityTokenRejected, ua.StatusBadIdentityTokenInvalid:
		return trust.Refuse("the server refuses the user: %s (%s)", checkUser(cfg), StatusText(code))
	case ua.StatusBadCertificateTimeInvalid, ua.StatusBadCertificateIssuerTimeInvalid:
		return trust.Refuse("the server says that plantgate's certificate (%s) is not valid now%s: check the server's clock, or renew the certificate (%s)",
			own.File, validity(own), StatusText(code))
	case ua.StatusBadCertificateRevoked, ua.StatusBadCertificateIssuerRevoked:
		return trust.Refuse("the server says that plantgate's certificate (%s) was revoked: have a new one made, and let the server trust it (%s)",
			own.File, StatusText(code))
	case ua.StatusBadCertificateURIInvalid:
		return trust.Refuse("the server says that plantgate's certificate (%s) is for another application: its URI must be in the certificate (%s)",
			own.File, StatusText(code))
	case ua.StatusBadCertificateUntrusted, ua.StatusBadSecurityChecksFailed, ua.StatusBadCertificateInvalid,
		ua.StatusBadCertificateChainIncomplete, ua.StatusBadCertificateRevocationUnknown, ua.StatusBadCertificateIssuerRevocationUnknown,
		ua.StatusBadCertificateUseNotAllowed, ua.StatusBadCertificateIssuerUseNotAllowed:
		return trust.Refuse("the server does not trust plantgate's certificate: trust %s there (%s)", own.File, StatusText(code))
	case ua.StatusBadSecurityPolicyRejected, ua.StatusBadSecurityModeRejected:
		return trust.Refuse("the server does not offer this security policy and mode (%s)", StatusText(code))
	case ua.StatusBadTooManySessions, ua.StatusBadMaxConnectionsReached:
		return fmt.Errorf("%w: raise its limit, or end other clients (%s)", ErrFull, StatusText(code))
	}
	return err
}

func checkUser(cfg config.OPCUAConnection) string {
	switch {
	case cfg.UserCertFile != "":
		return "let it trust the certificate of user_cert_file, and allow that user"
	case cfg.Username != "":
		return "check username and password"
	}
	return "it lets nobody in without a name: configure username and password_file, or user_cert_file"
}

func validity(own trust.Own) string {
	if own.Leaf == nil {
		return ""
	}
	return fmt.Sprintf(", and it is from %s to %s", own.Leaf.NotBefore.UTC().Format(time.DateOnly), own.Leaf.NotAfter.UTC().Format(time.DateOnly))
}
