package link

import (
	"errors"
	"fmt"
	"io"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uacp"

	"plantgate/internal/opcua/trust"
)

// explain turns the server's refusals into words that say what to do. A server
// that does not trust the certificate may just end the connection: it does send
// a reason, but the library drops it. That may pass, so it is no refusal.
func explain(err error, secured bool) error {
	var code ua.StatusCode
	var transport *uacp.Error
	switch {
	case errors.As(err, &transport): // the server closed the connection with a reason
		code = ua.StatusCode(transport.ErrorCode)
	case secured && errors.Is(err, io.EOF):
		return fmt.Errorf("the server ended the secured connection; "+
			"if that goes on, let it trust plantgate's certificate (%s): %w", trust.PublicCertFile, err)
	case !errors.As(err, &code):
		return err
	}
	switch code {
	case ua.StatusBadUserAccessDenied, ua.StatusBadIdentityTokenRejected, ua.StatusBadIdentityTokenInvalid:
		return trust.Refuse("the server refuses the user: check username and password (%s)", StatusText(code))
	case ua.StatusBadCertificateUntrusted, ua.StatusBadSecurityChecksFailed, ua.StatusBadCertificateInvalid,
		ua.StatusBadCertificateTimeInvalid, ua.StatusBadCertificateURIInvalid, ua.StatusBadCertificateUseNotAllowed:
		return trust.Refuse("the server does not trust plantgate's certificate: trust %s there (%s)", trust.PublicCertFile, StatusText(code))
	case ua.StatusBadSecurityPolicyRejected, ua.StatusBadSecurityModeRejected:
		return trust.Refuse("the server does not offer this security policy and mode (%s)", StatusText(code))
	}
	return err
}
