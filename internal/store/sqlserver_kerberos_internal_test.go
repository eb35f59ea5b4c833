//go:build kerberos

package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"
	"github.com/microsoft/go-mssqldb/msdsn"

	"plantgate/internal/mes"
)

const (
	testRealm = "PLANT.TEST"
	testUser  = "svc-plantgate"
	testKeys  = etypeID.AES256_CTS_HMAC_SHA1_96
)

// kdc gives tickets to testUser, for itself and for the services it has keys of.
type kdc struct {
	t       *testing.T
	keys    *keytab.Keytab
	granted []string            // the names of services that a ticket was asked for
	session types.EncryptionKey // of the ticket that other tickets are asked for with
}

func newKDC(t *testing.T, services ...string) *kdc {
	t.Helper()
	k := &kdc{t: t, keys: keytab.New()}
	for _, name := range append(services, testUser, "krbtgt/"+testRealm) {
		if err := k.keys.AddEntry(name, testRealm, "password of "+name, time.Now(), 1, testKeys); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// answer answers a request for a ticket.
func (k *kdc) answer(request []byte) []byte {
	var first messages.ASReq
	if err := first.Unmarshal(request); err == nil {
		key, kvno, err := k.keys.GetEncryptionKey(first.ReqBody.CName, testRealm, 0, testKeys)
		if err != nil {
			k.t.Error(err)
			return nil
		}
		fields, session, err := k.grant(first.ReqBody, first.ReqBody.CName, key, kvno, keyusage.AS_REP_ENCPART)
		if err != nil {
			k.t.Error(err)
			return nil
		}
		k.session = session
		fields.MsgType = msgtype.KRB_AS_REP
		return k.bytes((&messages.ASRep{KDCRepFields: fields}).Marshal())
	}
	var next messages.TGSReq
	if err := next.Unmarshal(request); err != nil {
		k.t.Errorf("the KDC does not understand a request: %v", err)
		return nil
	}
	k.granted = append(k.granted, next.ReqBody.SName.PrincipalNameString())
	client := types.NewPrincipalName(1, testUser)
	fields, _, err := k.grant(next.ReqBody, client, k.session, 0, keyusage.TGS_REP_ENCPART_SESSION_KEY)
	if err != nil {
		return k.bytes((&messages.KRBError{
			PVNO: 5, MsgType: msgtype.KRB_ERROR, ErrorCode: 7, STime: time.Now().UTC(), Realm: testRealm, SName: next.ReqBody.SName,
		}).Marshal())
	}
	fields.MsgType = msgtype.KRB_TGS_REP
	return k.bytes((&messages.TGSRep{KDCRepFields: fields}).Marshal())
}

func (k *kdc) bytes(b []byte, err error) []byte {
	if err != nil {
		k.t.Error(err)
	}
	return b
}

func (k *kdc) grant(
	asked messages.KDCReqBody, client types.PrincipalName, key types.EncryptionKey, kvno int, usage uint32,
) (messages.KDCRepFields, types.EncryptionKey, error) {
	now, end := time.Now().UTC().Truncate(time.Second), time.Now().UTC().Add(time.Hour).Truncate(time.Second)
	flags := types.NewKrbFlags()
	ticket, session, err := messages.NewTicket(client, testRealm, asked.SName, testRealm, flags, k.keys, testKeys, 1, now, now, end, end)
	if err != nil {
		return messages.KDCRepFields{}, session, err
	}
	secret := messages.EncKDCRepPart{
		Key: session, LastReqs: []messages.LastReq{{LRValue: now}}, Nonce: asked.Nonce, Flags: flags,
		AuthTime: now, StartTime: now, EndTime: end, RenewTill: end, SRealm: testRealm, SName: asked.SName,
	}
	plain, err := secret.Marshal()
	if err != nil {
		return messages.KDCRepFields{}, session, err
	}
	sealed, err := crypto.GetEncryptedData(plain, key, usage, kvno)
	return messages.KDCRepFields{PVNO: 5, CRealm: testRealm, CName: client, Ticket: ticket, EncPart: sealed}, session, err
}

// serve answers on a port of its own until the end of the test.
func (k *kdc) serve() (address string) {
	return serveTCP(k.t, func(conn net.Conn) {
		var size uint32
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		request := make([]byte, size)
		if _, err := io.ReadFull(conn, request); err != nil {
			return
		}
		answer := k.answer(request)
		_, _ = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...))
	})
}

// serveTCP serves one connection after the other.
func serveTCP(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// serveLogins is a SQL Server as far as the first packet after which it could tell who
// logs in, which it sends to the channel.
func serveLogins(t *testing.T, logins chan<- []byte) (address string) {
	return serveTCP(t, func(conn net.Conn) {
		if readTDS(conn) == nil {
			return
		}
		// Its version, and that it has no encryption.
		answer := []byte{0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 16, 0, 0, 0, 0, 0, 2}
		_, _ = conn.Write(append([]byte{4, 1, 0, byte(8 + len(answer)), 0, 0, 1, 0}, answer...))
		if login := readTDS(conn); login != nil {
			logins <- login
		}
	})
}

// readTDS reads a message; nil if there is none.
func readTDS(conn net.Conn) []byte {
	var message []byte
	for {
		header := make([]byte, 8)
		if _, err := io.ReadFull(conn, header); err != nil {
			return nil
		}
		body := make([]byte, int(binary.BigEndian.Uint16(header[2:]))-len(header))
		if _, err := io.ReadFull(conn, body); err != nil {
			return nil
		}
		message = append(message, body...)
		if last := header[1]&1 != 0; last {
			return message
		}
	}
}

// field returns what a login says at a place of its table of offsets, in units of size
// bytes.
func field(login []byte, place, size int) []byte {
	from, n := binary.LittleEndian.Uint16(login[place:]), binary.LittleEndian.Uint16(login[place+2:])
	return login[from : int(from)+int(n)*size]
}

const (
	loginUser     = 40
	loginPassword = 44
	loginSSPI     = 78
)

func writeKerberosConfig(t *testing.T, kdc string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "krb5.conf")
	text := fmt.Sprintf("[libdefaults]\n  default_realm = %s\n[realms]\n  %s = {\n    kdc = %s\n  }\n", testRealm, testRealm, kdc)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func kerberosDSN(user *url.Userinfo, server, config string, more ...string) string {
	q := url.Values{"database": {"plant"}, "encrypt": {"disable"}, "authenticator": {kerberos}, "krb5-configfile": {config}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return (&url.URL{Scheme: "sqlserver", User: user, Host: server, RawQuery: q.Encode()}).String()
}

// TestKerberosLogin logs in with a ticket for the host as the DSN names it, and for the
// service it names; no name or password crosses the network.
func TestKerberosLogin(t *testing.T) {
	t.Parallel()
	logins := make(chan []byte, 1)
	_, port, _ := net.SplitHostPort(serveLogins(t, logins))
	server := "localhost:" + port // an address would be replaced by the name of this machine
	spn := "MSSQLSvc/" + server
	k := newKDC(t, spn, "MSSQLSvc/db.plant.test:1433")
	config := writeKerberosConfig(t, k.serve())
	keys := filepath.Join(t.TempDir(), "client.keytab")
	raw, err := k.keys.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keys, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ dsn, spn string }{
		"keytab":   {kerberosDSN(url.User(testUser), server, config, "krb5-keytabfile", keys), spn},
		"password": {kerberosDSN(url.UserPassword(testUser, "password of "+testUser), server, config), spn},
		"realm":    {kerberosDSN(url.User(testUser+"@"+testRealm), server, config, "krb5-keytabfile", keys), spn},
		"spn": {kerberosDSN(url.User(testUser), server, config, "krb5-keytabfile", keys, "ServerSPN", "MSSQLSvc/db.plant.test:1433"),
			"MSSQLSvc/db.plant.test:1433"},
	} {
		connector, err := newConnector(c.dsn, defaultConnectTimeout)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		k.granted = nil
		// The server ends the connection when it has read the login.
		if _, err := connector.Connect(t.Context()); err == nil {
			t.Fatalf("%s: logged in to a server that is none", name)
		}
		if len(k.granted) != 1 || k.granted[0] != c.spn {
			t.Fatalf("%s: tickets of %q were asked for, want one of %s", name, k.granted, c.spn)
		}
		login := <-logins
		if len(field(login, loginUser, 2)) > 0 || len(field(login, loginPassword, 2)) > 0 {
			t.Errorf("%s: the login names a user", name)
		}
		if got := ticketHolder(t, k, field(login, loginSSPI, 1)); got != testUser+"@"+testRealm {
			t.Errorf("%s: the ticket is of %s", name, got)
		}
	}
}

// TestKerberosAway: a database that no ticket can be had for is away, to reads as to
// writes.
func TestKerberosAway(t *testing.T) {
	t.Parallel()
	server := serveLogins(t, make(chan []byte, 100))
	k := newKDC(t)
	away := writeKerberosConfig(t, "127.0.0.1:1")
	for name, dsn := range map[string]string{
		"no KDC":         kerberosDSN(url.UserPassword(testUser, "password of "+testUser), server, away),
		"wrong password": kerberosDSN(url.UserPassword(testUser, "wrong"), server, writeKerberosConfig(t, k.serve())),
		"no service":     kerberosDSN(url.UserPassword(testUser, "password of "+testUser), server, writeKerberosConfig(t, k.serve())),
	} {
		s, err := Open(t.Context(), dsn, Options{SQLServer: SQLServerOptions{RetryFor: time.Millisecond}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if err := s.Ping(t.Context()); mes.ErrorCode(err) != mes.CodeUnavailable || strings.Contains(err.Error(), "password of") {
			t.Errorf("%s: a read says %v", name, err)
		}
		if err := s.PutSites(t.Context(), []mes.Equipment{{SiteID: "s"}}); !errors.Is(err, mes.ErrStoreAway) {
			t.Errorf("%s: a write says %v", name, err)
		}
	}
}

// TestKerberosKDCIsSilent: a login is given up in its time, whatever it waits for.
func TestKerberosKDCIsSilent(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 100)
	kdc := serveTCP(t, func(conn net.Conn) {
		asked <- struct{}{}
		_, _ = io.Copy(io.Discard, conn) // until the other side ends it
	})
	server := serveLogins(t, make(chan []byte, 100))
	dsn := kerberosDSN(url.UserPassword(testUser, "password of "+testUser), server, writeKerberosConfig(t, kdc))
	s, err := Open(t.Context(), dsn, Options{SQLServer: SQLServerOptions{ConnectTimeout: 500 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := s.Ping(t.Context()); !errors.Is(err, mes.ErrStoreAway) {
		t.Errorf("a read says %v", err)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	select {
	case <-asked:
	default:
		t.Error("the KDC was not asked")
	}
	if err := s.Close(); err != nil { // waits for what was given up
		t.Error(err)
	}
}

// TestKerberosSettings: what can be seen to be wrong without a server is seen when the
// store is opened.
func TestKerberosSettings(t *testing.T) {
	t.Parallel()
	good := writeKerberosConfig(t, "127.0.0.1:1")
	empty := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(empty, []byte("[libdefaults]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	user := url.UserPassword(testUser, "secret")
	for want, dsn := range map[string]string{
		"krb5-configfile":    kerberosDSN(user, "db", good+".not"),
		"krb5-realm":         kerberosDSN(user, "db", empty),
		"krb5-keytabfile":    kerberosDSN(url.User(testUser), "db", good, "krb5-keytabfile", good),
		"krb5-credcachefile": kerberosDSN(nil, "db", good, "krb5-credcachefile", good+".not"),
	} {
		_, err := Open(t.Context(), dsn, Options{})
		if mes.ErrorCode(err) != mes.CodeInvalid || !strings.Contains(err.Error(), "store.dsn: "+want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestKerberosAnswers: a server may accept a ticket or refuse it.
func TestKerberosAnswers(t *testing.T) {
	t.Parallel()
	login, err := newKerberosLogin(msdsn.Config{User: testUser, Password: "p", Parameters: map[string]string{"krb5-configfile": writeKerberosConfig(t, "127.0.0.1:1")}})
	if err != nil {
		t.Fatal(err)
	}
	defer login.Free()
	for state, want := range map[spnego.NegState]error{spnego.NegStateAcceptCompleted: nil, spnego.NegStateReject: errTicketRefused} {
		answer := spnego.NegTokenResp{NegState: asn1.Enumerated(state)}
		raw, err := answer.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if more, err := login.NextBytes(raw); !errors.Is(err, want) || len(more) > 0 {
			t.Errorf("state %d: %q, %v", state, more, err)
		}
	}
	if _, err := login.NextBytes([]byte("no token")); err == nil {
		t.Error("takes anything for an answer")
	}
}

// ticketHolder opens a ticket with the keys of the server, and what proves whose it is
// with the key in it.
func ticketHolder(t *testing.T, k *kdc, sspi []byte) string {
	t.Helper()
	var token spnego.SPNEGOToken
	if err := token.Unmarshal(sspi); err != nil {
		t.Fatal(err)
	}
	var inner spnego.KRB5Token
	if err := inner.Unmarshal(token.NegTokenInit.MechTokenBytes); err != nil {
		t.Fatal(err)
	}
	if err := inner.APReq.Ticket.DecryptEncPart(k.keys, nil); err != nil {
		t.Fatalf("the server can't open the ticket: %v", err)
	}
	if err := inner.APReq.DecryptAuthenticator(inner.APReq.Ticket.DecryptedEncPart.Key); err != nil {
		t.Fatalf("the server can't tell whose the ticket is: %v", err)
	}
	return inner.APReq.Authenticator.CName.PrincipalNameString() + "@" + inner.APReq.Authenticator.CRealm
}
