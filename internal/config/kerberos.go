package config

import (
	"net/url"
	"os"
	"slices"
	"strings"
)

const (
	kerberosAuthenticator = "krb5"
	kerberosConfigFile    = "krb5-configfile"
	kerberosKeytabFile    = "krb5-keytabfile"
	kerberosCacheFile     = "krb5-credcachefile"
	kerberosRealm         = "krb5-realm"
	kerberosPrefix        = "krb5-"
	defaultKerberosConfig = "/etc/krb5.conf"
)

// kerberosParameters are those of a DSN that a login by Kerberos takes.
var kerberosParameters = []string{kerberosConfigFile, kerberosKeytabFile, kerberosCacheFile, kerberosRealm}

// validateKerberos checks what a DSN says of a login by Kerberos.
func (s *Store) validateKerberos(u *url.URL) Faults {
	const key = "store.dsn"
	q := u.Query()
	f := unknownKerberosParameters(q)
	authenticator, given := parameter(q, "authenticator")
	switch {
	case !given:
		for _, name := range kerberosParameters {
			if _, given := parameter(q, name); given {
				f = append(f, Fault{key, name + " counts with authenticator=krb5 only"})
			}
		}
		return f
	case authenticator != kerberosAuthenticator:
		return append(f, Fault{key, "authenticator must be krb5; without it the login is one of SQL Server, or NTLM for a user DOMAIN\\name"})
	case !hasKerberos:
		return append(f, Fault{key, "authenticator=krb5: this plantgate was built without Kerberos (make build TAGS=kerberos)"})
	}
	password, _ := u.User.Password()
	hasPassword := password != "" || s.Password != ""
	keytab, cache := kerberosFile(q, kerberosKeytabFile), kerberosFile(q, kerberosCacheFile)
	switch {
	case !hasPassword && keytab == "" && cache == "":
		f = append(f, Fault{key, "authenticator=krb5 needs krb5-keytabfile, krb5-credcachefile or a password (store.password_file)"})
	case hasPassword && keytab+cache != "", keytab != "" && cache != "":
		f = append(f, Fault{key, "authenticator=krb5 takes one of krb5-keytabfile, krb5-credcachefile and a password"})
	}
	if cache == "" && u.User.Username() == "" {
		f = append(f, Fault{key, "authenticator=krb5 needs a user (sqlserver://user@host), except with krb5-credcachefile"})
	}
	for name, path := range map[string]string{kerberosKeytabFile: keytab, kerberosCacheFile: cache} {
		f = append(f, readable(name, path)...)
	}
	if path := kerberosFile(q, kerberosConfigFile); path != "" {
		return append(f, readable(kerberosConfigFile, path)...)
	}
	return append(f, readable(kerberosConfigFile+" is not given, and "+defaultKerberosConfig, defaultKerberosConfig)...)
}

func kerberosFile(q url.Values, name string) string {
	path, _ := parameter(q, name)
	return path
}

// readable opens a file that a parameter of the DSN names; "" is none.
func readable(name, path string) Faults {
	if path == "" {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return Faults{{"store.dsn", name + " can't be read: " + err.Error()}}
	}
	_ = file.Close()
	return nil
}

// unknownKerberosParameters finds typing mistakes, which the driver would not.
func unknownKerberosParameters(q url.Values) Faults {
	var f Faults
	for name := range q {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, kerberosPrefix) && !slices.Contains(kerberosParameters, name) {
			f = append(f, Fault{"store.dsn", name + " is no parameter of Kerberos; there are " + strings.Join(kerberosParameters, ", ")})
		}
	}
	slices.SortFunc(f, func(a, b Fault) int { return strings.Compare(a.Detail, b.Detail) })
	return f
}
