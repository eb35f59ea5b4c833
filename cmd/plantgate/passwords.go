package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"plantgate/internal/mes"
	"plantgate/internal/passwords"
)

type passwordsCmd struct {
	Hash passwordsHashCmd `cmd:"" help:"Hash a password for mqtt.broker.users[].password_hash, read from standard input."`
}

type passwordsHashCmd struct {
	Algorithm string `enum:"argon2id,bcrypt" default:"argon2id" help:"argon2id or bcrypt."`
}

// Run prints the hash of the password that is typed twice, or is the whole of standard
// input without the line end. It is never an argument, which others could see.
func (c *passwordsHashCmd) Run(e *env) error {
	password, err := e.readPassword()
	if err != nil {
		return err
	}
	hash := passwords.Argon2id
	if c.Algorithm == "bcrypt" {
		hash = passwords.Bcrypt
	}
	text, err := hash(password)
	if err != nil {
		return mes.Wrap(mes.CodeInvalid, err, "the password can't be hashed")
	}
	_, err = fmt.Fprintln(e.stdout, text)
	return err
}

func (e *env) readPassword() ([]byte, error) {
	if f, ok := e.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return e.askPassword(int(f.Fd()))
	}
	b, err := io.ReadAll(io.LimitReader(e.stdin, passwords.MaxLength+3))
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return bytes.TrimRight(b, "\r\n"), nil
}

func (e *env) askPassword(fd int) ([]byte, error) {
	var typed [2][]byte
	for i, prompt := range []string{"Password: ", "Again: "} {
		fmt.Fprint(e.stderr, prompt)
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(e.stderr)
		if err != nil {
			return nil, fmt.Errorf("read the password: %w", err)
		}
		typed[i] = b
	}
	if !bytes.Equal(typed[0], typed[1]) {
		return nil, errors.New("the passwords differ")
	}
	return typed[0], nil
}
