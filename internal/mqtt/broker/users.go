package broker

import (
	"crypto/sha256"
	"crypto/subtle"
	"os"
	"strings"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// users are the names and hashed passwords that may connect. The hash makes
// the comparison's time independent of the passwords' lengths.
type users struct {
	passwords map[string][sha256.Size]byte
	anonymous bool
}

func newUsers(list []config.BrokerUser, anonymous bool) (users, error) {
	u := users{passwords: make(map[string][sha256.Size]byte, len(list)), anonymous: anonymous}
	for _, e := range list {
		password := e.Password
		if e.PasswordFile != "" {
			b, err := os.ReadFile(e.PasswordFile)
			if err != nil {
				return users{}, mes.Wrap(mes.CodeInvalid, err, "password_file of a user of the broker can't be read")
			}
			password = strings.TrimRight(string(b), "\r\n")
		}
		if e.Username == "" || password == "" {
			return users{}, mes.Errorf(mes.CodeInvalid, "a user of the broker needs a name and a password")
		}
		u.passwords[e.Username] = sha256.Sum256([]byte(password))
	}
	return u, nil
}

// allow tells whether a client may connect. An unknown name costs the same
// comparison as a known one.
func (u users) allow(username string, password []byte) bool {
	if username == "" && len(password) == 0 {
		return u.anonymous
	}
	want, known := u.passwords[username]
	got := sha256.Sum256(password)
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && known
}
