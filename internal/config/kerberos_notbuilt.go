//go:build !kerberos

package config

// hasKerberos tells whether this program can log in by Kerberos.
const hasKerberos = false
