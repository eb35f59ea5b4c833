//go:build kerberos

package store

import (
	"errors"
	"strings"
	"sync"

	"github.com/jcmturner/gokrb5/v8/client"
	krb5 "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/microsoft/go-mssqldb/integratedauth"
	"github.com/microsoft/go-mssqldb/msdsn"

	"plantgate/internal/mes"
)

// Logins with a ticket of Kerberos, as Active Directory has them. The parameters of the
// DSN are those of the driver's own krb5, which is not used: it asks for a ticket of the
// name that the host is an alias of, and on RDS the host is an alias.

// kerberosLogin is one login.
type kerberosLogin struct {
	client *client.Client
	spn    string
}

var registerKerberos = sync.OnceValue(func() error {
	return integratedauth.SetIntegratedAuthenticationProvider(kerberos, integratedauth.ProviderFunc(newKerberosLogin))
})

// checkLogin implements what a DSN asks for, or says why it can't.
func checkLogin(c msdsn.Config) error {
	if c.Parameters["authenticator"] != kerberos {
		return nil
	}
	if err := registerKerberos(); err != nil {
		return err
	}
	login, err := newKerberosLogin(c)
	if err != nil {
		return mes.Errorf(mes.CodeInvalid, "store.dsn: %w", err)
	}
	login.Free()
	return nil
}

const defaultKerberosConfig = "/etc/krb5.conf"

func newKerberosLogin(c msdsn.Config) (integratedauth.IntegratedAuthenticator, error) {
	path := c.Parameters["krb5-configfile"]
	if path == "" {
		path = defaultKerberosConfig
	}
	settings, err := krb5.Load(path)
	if err != nil {
		return nil, errors.New("krb5-configfile: " + err.Error())
	}
	// Where the file names no server of the realm, DNS does. Tickets of Active Directory
	// are too large for UDP.
	settings.LibDefaults.DNSLookupKDC = true
	settings.LibDefaults.UDPPreferenceLimit = 1
	noFAST := client.DisablePAFXFAST(true) // Active Directory has none by default
	l := &kerberosLogin{spn: c.ServerSPN}
	if path := c.Parameters["krb5-credcachefile"]; path != "" {
		cache, err := credentials.LoadCCache(path)
		if err != nil {
			return nil, errors.New("krb5-credcachefile: " + err.Error())
		}
		if l.client, err = client.NewFromCCache(cache, settings, noFAST); err != nil {
			return nil, errors.New("krb5-credcachefile: " + err.Error())
		}
		return l, nil
	}
	user, realm, _ := strings.Cut(c.User, "@")
	if given := c.Parameters["krb5-realm"]; given != "" {
		realm = given
	}
	if realm == "" {
		realm = settings.LibDefaults.DefaultRealm
	}
	if realm == "" {
		return nil, errors.New("krb5-realm is not given, and " + path + " has no default_realm")
	}
	if path := c.Parameters["krb5-keytabfile"]; path != "" {
		keys, err := keytab.Load(path)
		if err != nil {
			return nil, errors.New("krb5-keytabfile: " + err.Error())
		}
		l.client = client.NewWithKeytab(user, realm, keys, settings, noFAST)
		return l, nil
	}
	l.client = client.NewWithPassword(user, realm, c.Password, settings, noFAST)
	return l, nil
}

// InitialBytes implements integratedauth.IntegratedAuthenticator.
func (l *kerberosLogin) InitialBytes() ([]byte, error) {
	if err := l.client.AffirmLogin(); err != nil {
		return nil, err
	}
	token, err := spnego.SPNEGOClient(l.client, l.spn).InitSecContext()
	if err != nil {
		return nil, err
	}
	return token.Marshal()
}

var errTicketRefused = errors.New("the server refuses the ticket")

// NextBytes implements integratedauth.IntegratedAuthenticator. There is nothing to add
// to a ticket; whether the login is granted, the server says by itself.
func (l *kerberosLogin) NextBytes(answer []byte) ([]byte, error) {
	var token spnego.SPNEGOToken
	if err := token.Unmarshal(answer); err != nil {
		return nil, err
	}
	if !token.Resp || token.NegTokenResp.State() == spnego.NegStateReject {
		return nil, errTicketRefused
	}
	return nil, nil
}

// Free implements integratedauth.IntegratedAuthenticator.
func (l *kerberosLogin) Free() { l.client.Destroy() }
