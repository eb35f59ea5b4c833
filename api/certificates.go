package api

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// Certificates has those of OPC UA servers of which somebody has to decide.
type Certificates interface {
	// List are the certificates that the server of a connection has shown, the newest
	// first.
	List(ctx context.Context, connection string) ([]mes.ServerCertificate, error)
	// Decide notes what was decided of one, and by whom. One that was not shown is
	// mes.CodeNotFound.
	Decide(ctx context.Context, connection, thumbprint string, s mes.CertificateState, by string) (mes.ServerCertificate, error)
}

// certificateBody is a certificate of an OPC UA server.
type certificateBody struct {
	// SHA-256 in hexadecimal; compare it with what the server shows at its own screen.
	Thumbprint string `json:"thumbprint" example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" validate:"required"`
	State      string `json:"state" enums:"parked,approved,rejected" example:"parked" validate:"required"`
	Subject    string `json:"subject,omitempty" example:"CN=PLC,O=Example"`
	Issuer     string `json:"issuer,omitempty" example:"CN=PLC,O=Example"`
	// Application URIs that the certificate is for.
	URIs      []string   `json:"uris" validate:"required"`
	NotBefore *time.Time `json:"not_before,omitempty" example:"2026-01-01T00:00:00Z"`
	NotAfter  *time.Time `json:"not_after,omitempty" example:"2036-01-01T00:00:00Z"`
	// Why it is not trusted by itself.
	Reason    string    `json:"reason" example:"x509: certificate signed by unknown authority" validate:"required"`
	FirstSeen time.Time `json:"first_seen" example:"2026-11-22T10:15:00Z" validate:"required"`
	// When it was decided, and the id of the API key.
	DecidedAt *time.Time `json:"decided_at,omitempty" example:"2026-11-22T10:20:00Z"`
	DecidedBy string     `json:"decided_by,omitempty"`
} //	@name	ServerCertificate

func newCertificateBody(c mes.ServerCertificate) certificateBody {
	b := certificateBody{
		Thumbprint: c.Thumbprint, State: string(c.State), URIs: []string{}, Reason: c.Reason, FirstSeen: c.FirstSeen.UTC(),
		DecidedAt: optionalTime(c.DecidedAt), DecidedBy: c.DecidedBy,
	}
	cert, err := x509.ParseCertificate(c.DER)
	if err != nil { // it was read before it was kept
		return b
	}
	b.Subject, b.Issuer = cert.Subject.String(), cert.Issuer.String()
	b.NotBefore, b.NotAfter = optionalTime(cert.NotBefore), optionalTime(cert.NotAfter)
	for _, u := range cert.URIs {
		b.URIs = append(b.URIs, u.String())
	}
	return b
}

// listCertificates lists what the server of a connection has shown and nothing vouches for.
//
//	@Summary		List certificates of an OPC UA server that wait for a decision
//	@Description	A server whose certificate neither the configuration nor the trust folder knows is not spoken to until somebody approves the certificate. What was decided stays in the list.
//	@Tags			operation
//	@ID				listCertificates
//	@Security		ApiKey
//	@Produce		json
//	@Param			name	path		string	true	"connection"	example(press)
//	@Success		200		{object}	page[certificateBody]
//	@Failure		401,403,404,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/opcua/{name}/certificates [get]
func (a *API) listCertificates(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	name, err := a.opcuaConnection(c)
	if err != nil {
		return err
	}
	list, err := a.deps.Certificates.List(c.Request().Context(), name)
	if err != nil {
		return err
	}
	answer := page[certificateBody]{Items: []certificateBody{}}
	for _, one := range list {
		answer.Items = append(answer.Items, newCertificateBody(one))
	}
	return c.JSON(http.StatusOK, answer)
}

// approveCertificate trusts a certificate from now on.
//
//	@Summary		Approve a certificate of an OPC UA server
//	@Description	The connection is tried again within 10 seconds, by whichever server has it. Needs the scope admin.
//	@Tags			operation
//	@ID				approveCertificate
//	@Security		ApiKey
//	@Produce		json
//	@Param			name		path		string	true	"connection"	example(press)
//	@Param			thumbprint	path		string	true	"SHA-256 in hexadecimal"
//	@Success		200			{object}	certificateBody
//	@Failure		401,403,404,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/opcua/{name}/certificates/{thumbprint}/approve [post]
func (a *API) approveCertificate(c echo.Context) error {
	return a.decideCertificate(c, mes.CertificateApproved)
}

// rejectCertificate trusts a certificate no more.
//
//	@Summary		Reject a certificate of an OPC UA server
//	@Description	A session that is open stays open until it ends. Needs the scope admin.
//	@Tags			operation
//	@ID				rejectCertificate
//	@Security		ApiKey
//	@Produce		json
//	@Param			name		path		string	true	"connection"	example(press)
//	@Param			thumbprint	path		string	true	"SHA-256 in hexadecimal"
//	@Success		200			{object}	certificateBody
//	@Failure		401,403,404,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/opcua/{name}/certificates/{thumbprint}/reject [post]
func (a *API) rejectCertificate(c echo.Context) error {
	return a.decideCertificate(c, mes.CertificateRejected)
}

func (a *API) decideCertificate(c echo.Context, s mes.CertificateState) error {
	if err := noQuery(c); err != nil {
		return err
	}
	name, err := a.opcuaConnection(c)
	if err != nil {
		return err
	}
	if err := unbound(c, "a server that is trusted is so for all its machines"); err != nil {
		return err
	}
	by := keyOf(c).ID.String()
	one, err := a.deps.Certificates.Decide(c.Request().Context(), name, c.Param("thumbprint"), s, by)
	if err != nil {
		return err
	}
	a.deps.Logger.Info("a certificate of an OPC UA server was decided of", slog.String("connection", name),
		slog.String("thumbprint", one.Thumbprint), slog.String("state", string(s)), slog.String("key_id", by))
	return c.JSON(http.StatusOK, newCertificateBody(one))
}

// opcuaConnection is the connection that the path names.
func (a *API) opcuaConnection(c echo.Context) (string, error) {
	name := pathParam(c, "name")
	known := slices.ContainsFunc(a.deps.Adapters(), func(s mes.AdapterStatus) bool { return s.Door == mes.DoorOPCUA && s.Name == name })
	if !known || a.deps.Certificates == nil {
		return "", mes.Errorf(mes.CodeNotFound, "there is no OPC UA connection %q", name)
	}
	return name, nil
}
