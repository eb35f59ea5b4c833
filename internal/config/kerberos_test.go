package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKerberosSettings: what is missing, unknown or contradicts itself is named.
func TestKerberosSettings(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("Plantgate-1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	settings, keytab, cache, password := file("krb5.conf"), file("client.keytab"), file("cache"), file("password")
	missing := filepath.Join(folder, "missing")
	const host = "sqlserver://svc-plantgate@db.plant.test:1433?database=plant"
	kerberos := host + "&authenticator=krb5&krb5-configfile=" + settings
	for _, c := range []struct{ dsn, password, want string }{
		{kerberos + "&krb5-keytabfile=" + keytab, "", ""},
		{kerberos + "&krb5-realm=PLANT.TEST&KRB5-KeytabFile=" + keytab, "", ""},
		{kerberos, password, ""},
		{strings.Replace(kerberos, "svc-plantgate@", "", 1) + "&krb5-credcachefile=" + cache, "", ""},
		{kerberos + "&krb5-keytabfile=" + missing, "", "store.dsn: krb5-keytabfile can't be read: open " + missing},
		{kerberos + "&krb5-credcachefile=" + missing, "", "store.dsn: krb5-credcachefile can't be read"},
		{strings.Replace(kerberos, settings, missing, 1), password, "store.dsn: krb5-configfile can't be read"},
		{kerberos, "", "store.dsn: authenticator=krb5 needs krb5-keytabfile, krb5-credcachefile or a password (store.password_file)"},
		{kerberos + "&krb5-keytabfile=" + keytab, password, "takes one of"},
		{kerberos + "&krb5-keytabfile=" + keytab + "&krb5-credcachefile=" + cache, "", "takes one of"},
		{strings.Replace(kerberos, "svc-plantgate@", "", 1) + "&krb5-keytabfile=" + keytab, "", "needs a user"},
		{kerberos, missing, "store.password_file: can't be read"},
	} {
		_, _, err := Load("", []string{"PLANTGATE_STORE_DSN=" + c.dsn, "PLANTGATE_STORE_PASSWORD_FILE=" + c.password})
		if !hasKerberos && c.password != missing {
			c.want = "store.dsn: authenticator=krb5: this plantgate was built without Kerberos"
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s, password file %q: %v, want %q", c.dsn, c.password, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "Plantgate-1") {
			t.Errorf("a secret is shown: %v", err)
		}
	}
	// What is wrong in any program.
	for dsn, want := range map[string]string{
		host + "&krb5-keytab=" + keytab:     "store.dsn: krb5-keytab is no parameter of Kerberos; there are krb5-configfile, krb5-keytabfile, krb5-credcachefile, krb5-realm",
		host + "&krb5-keytabfile=" + keytab: "store.dsn: krb5-keytabfile counts with authenticator=krb5 only",
		host + "&authenticator=winsspi":     "store.dsn: authenticator must be krb5",
		host + "&authenticator=":            "store.dsn: authenticator must be krb5",
	} {
		if _, _, err := Load("", []string{"PLANTGATE_STORE_DSN=" + dsn}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dsn, err, want)
		}
	}
}
