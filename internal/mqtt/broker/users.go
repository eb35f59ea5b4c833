package broker

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/passwords"
)

// checksAtOnce is how many hashes are checked at a time, of all clients: each takes a
// processor for tens of milliseconds that ingest needs. checksWaiting is how many more
// may wait for that, which is a second or two of work; who comes then is turned away.
const (
	checksAtOnce  = 1
	checksWaiting = 32
)

// verdict is what became of a login.
type verdict int

const (
	loginGranted verdict = iota
	loginWrong           // user or password
	loginAnonymous
	loginBusy       // too many checks at once
	loginUnreadable // the password's file
)

// users are who may connect.
type users struct {
	byName    map[string]*user
	anonymous bool
	slots     chan struct{}
	waiting   chan struct{}
	// dummy costs an unknown user as much as a known one.
	dummy passwords.Hash
	// key is that of the digests of passwords that were right, in this process.
	key [sha256.Size]byte
}

// user is one of them. The file, if there is one, is read again when it has changed.
type user struct {
	rights rights
	file   string

	mu       sync.Mutex
	modified time.Time
	size     int64
	secret   secret
}

// secret is a password or a hash of one.
type secret struct {
	plain    [sha256.Size]byte
	hash     passwords.Hash
	isHash   bool
	verified [sha256.Size]byte // digest of the password that was found right
	known    bool              // verified is set
}

func newUsers(list []config.BrokerUser, anonymous bool) (*users, error) {
	u := &users{
		byName: make(map[string]*user, len(list)), anonymous: anonymous,
		slots: make(chan struct{}, checksAtOnce), waiting: make(chan struct{}, checksAtOnce+checksWaiting),
	}
	if _, err := rand.Read(u.key[:]); err != nil {
		return nil, err
	}
	for _, e := range list {
		one := &user{rights: newRights(e), file: e.PasswordFile}
		var err error
		switch {
		case e.PasswordFile != "":
			err = one.read()
		case e.PasswordHash != "":
			one.secret.isHash = true
			if one.secret.hash, err = passwords.Parse(e.PasswordHash); err != nil {
				err = mes.Wrap(mes.CodeInvalid, err, "password_hash of a user of the broker "+err.Error())
			}
		default:
			one.secret, err = newSecret(e.Password)
		}
		if err != nil {
			return nil, err
		}
		if e.Username == "" {
			return nil, mes.Errorf(mes.CodeInvalid, "a user of the broker needs a name and a password")
		}
		u.byName[e.Username] = one
		if one.secret.isHash {
			u.dummy = one.secret.hash.Dummy()
		}
	}
	return u, nil
}

// newSecret reads a password, or what a file holds: a hash is one that looks like it.
func newSecret(text string) (secret, error) {
	switch {
	case text == "":
		return secret{}, mes.Errorf(mes.CodeInvalid, "a user of the broker needs a name and a password")
	case passwords.IsHash(text):
		hash, err := passwords.Parse(text)
		if err != nil {
			return secret{}, mes.Wrap(mes.CodeInvalid, err, "the password hash of a user of the broker "+err.Error())
		}
		return secret{hash: hash, isHash: true}, nil
	}
	return secret{plain: sha256.Sum256([]byte(text))}, nil
}

// read reads the file if it is another than before. It is called with mu held, or
// before others know the user.
func (u *user) read() error {
	info, err := os.Stat(u.file)
	if err == nil && info.ModTime().Equal(u.modified) && info.Size() == u.size {
		return nil
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(u.file)
	}
	if err != nil {
		return mes.Wrap(mes.CodeInvalid, err, "password_file of a user of the broker can't be read")
	}
	s, err := newSecret(strings.TrimRight(string(b), "\r\n"))
	if err != nil {
		return err
	}
	u.secret, u.modified, u.size = s, info.ModTime(), info.Size()
	return nil
}

// current returns the secret that counts now.
func (u *user) current() (secret, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var err error
	if u.file != "" {
		err = u.read()
	}
	return u.secret, err
}

// login tells whether a client may connect. It takes as long for an unknown name as for
// a known one with a wrong password. A password that was right once is known again
// without its hash being computed, so that a plant that comes back does not queue up.
func (u *users) login(ctx context.Context, name string, password []byte) (verdict, error) {
	if name == "" && len(password) == 0 {
		if u.anonymous {
			return loginGranted, nil
		}
		return loginAnonymous, nil
	}
	one := u.byName[name]
	var s secret
	if one != nil {
		var err error
		if s, err = one.current(); err != nil {
			return loginUnreadable, err
		}
	}
	if one == nil || !s.isHash {
		got := sha256.Sum256(password)
		right := subtle.ConstantTimeCompare(s.plain[:], got[:]) == 1 && one != nil
		if right {
			return loginGranted, nil
		}
		_, err := u.check(ctx, u.dummy, password)
		return wrongOrBusy(err), nil
	}
	digest := u.digest(password)
	if subtle.ConstantTimeCompare(s.verified[:], digest[:]) == 1 && s.known {
		return loginGranted, nil
	}
	right, err := u.check(ctx, s.hash, password)
	if err != nil || !right {
		return wrongOrBusy(err), nil
	}
	one.remember(s.hash, digest)
	return loginGranted, nil
}

func wrongOrBusy(err error) verdict {
	if err != nil {
		return loginBusy
	}
	return loginWrong
}

func (u *users) digest(password []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, u.key[:])
	mac.Write(password)
	copy(sum[:], mac.Sum(nil))
	return sum
}

// remember keeps the digest of the right password, unless the hash is another by now.
func (u *user) remember(of passwords.Hash, digest [sha256.Size]byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.secret.isHash && u.secret.hash.Equal(of) {
		u.secret.verified, u.secret.known = digest, true
	}
}

var errBusy = errors.New("too many logins at once")

// check computes a hash when there is a slot for it.
func (u *users) check(ctx context.Context, hash passwords.Hash, password []byte) (bool, error) {
	select {
	case u.waiting <- struct{}{}:
		defer func() { <-u.waiting }()
	default:
		return false, errBusy
	}
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return hash.Matches(password), nil
}

// rightsOf returns what a user may do; anonymous clients are the user "".
func (u *users) rightsOf(name string) rights {
	if one := u.byName[name]; one != nil {
		return one.rights
	}
	return rights{all: name == "" && u.anonymous}
}
