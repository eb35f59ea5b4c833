package passwords_test

import (
	"strings"
	"testing"

	"plantgate/internal/passwords"
)

// TestHashes checks what this package makes.
func TestHashes(t *testing.T) {
	t.Parallel()
	made := map[string]func([]byte) (string, error){"argon2id": passwords.Argon2id, "bcrypt": passwords.Bcrypt}
	for name, hash := range made {
		text, err := hash([]byte("the secret"))
		if err != nil {
			t.Fatal(err)
		}
		other, err := hash([]byte("the secret"))
		if err != nil || text == other || !passwords.IsHash(text) || strings.Contains(text, "secret") {
			t.Errorf("%s: %q and %q, %v", name, text, other, err)
		}
		h, err := passwords.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if !h.Matches([]byte("the secret")) {
			t.Errorf("%s: the password does not match", name)
		}
		for _, wrong := range []string{"", "the secrets"} {
			if h.Matches([]byte(wrong)) {
				t.Errorf("%s: %q matches", name, wrong)
			}
		}
		if h.Dummy().Matches([]byte("the secret")) {
			t.Errorf("%s: the dummy matches", name)
		}
		if _, err := hash(nil); err == nil {
			t.Errorf("%s: an empty password was hashed", name)
		}
	}
	if _, err := passwords.Bcrypt([]byte(strings.Repeat("x", 73))); err == nil {
		t.Error("bcrypt took 73 bytes, of which it would look at 72")
	}
}

// TestOfOthers checks hashes that other programs made of "password".
func TestOfOthers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		// The vector of the reference implementation (test.c, version 0x13).
		"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	} {
		h, err := passwords.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if !h.Matches([]byte("password")) || h.Matches([]byte("passwore")) {
			t.Errorf("%s: wrong", text)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "plain", "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"$argon2id$v=19$m=9999999,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$short", "$argon2id$v=19$m=256,t=2$c29tZXNhbHQ$x",
		"$2b$12$tooshort", "$2b$31$" + strings.Repeat("a", 53), "$2x$12$" + strings.Repeat("a", 53),
	} {
		if _, err := passwords.Parse(text); err == nil {
			t.Errorf("%q was taken", text)
		} else if len(text) > 20 && strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats the hash: %v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Add("$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := passwords.Parse(text); err == nil && !passwords.IsHash(text) {
			t.Errorf("%q was taken and does not look like a hash", text)
		}
	})
}
