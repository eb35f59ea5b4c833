package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"plantgate/internal/auth"
	"plantgate/internal/mes"
	"plantgate/internal/store"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make a key and show it, once."`
	List   keysListCmd   `cmd:"" help:"List the keys."`
	Revoke keysRevokeCmd `cmd:"" help:"Withdraw a key."`
	Rotate keysRotateCmd `cmd:"" help:"Make a successor of a key; both are valid for the overlap."`
}

// withKeys runs fn over the keys of the configured store. Only the first key may
// make the store.
func (f configFlag) withKeys(e *env, mustExist bool, fn func(*auth.Service) error) error {
	s, err := f.openStore(e, mustExist)
	if err != nil {
		return err
	}
	// An embedded store may be new; the schema of a shared one is made with care.
	if s.IsEmbedded() {
		var done store.Upgrade
		if done, err = s.MigrateUp(e.ctx); done.SetAside {
			fmt.Fprintln(e.stderr, setAside)
		}
	} else {
		err = s.CheckSchema(e.ctx)
	}
	if err == nil {
		var keys *auth.Service
		if keys, err = auth.New(s, auth.Options{}); err == nil {
			err = fn(keys)
		}
	}
	return errors.Join(err, s.Close())
}

type keysCreateCmd struct {
	configFlag
	Name    string        `required:"" help:"What the key is for."`
	Scope   []string      `required:"" help:"Scopes such as data:write,data:read; admin is all."`
	Site    []string      `help:"Sites that the key is bound to."`
	Machine []string      `help:"Machines that the key is bound to, of the sites given or else of site.id."`
	Expires time.Duration `help:"How long it is valid, such as 8760h; without end if left out."`
}

// Run makes a key.
func (c *keysCreateCmd) Run(e *env) error {
	n := auth.NewKey{Name: c.Name, Limit: mes.Scope{Sites: c.Site, Machines: c.Machine}}
	for _, s := range c.Scope {
		n.Scopes = append(n.Scopes, mes.KeyScope(s))
	}
	if c.Expires != 0 {
		n.ExpiresAt = time.Now().Add(c.Expires)
	}
	if len(c.Machine) > 0 && len(c.Site) == 0 {
		cfg, _, err := c.load(e)
		if err != nil {
			return err
		}
		n.Limit.Sites = []string{cfg.Site.ID}
	}
	return c.withKeys(e, false, func(keys *auth.Service) error {
		key, text, err := keys.Create(e.ctx, n)
		if err != nil {
			return err
		}
		return e.showKey(key, text)
	})
}

// showKey prints the key alone on stdout, so that a script can take it.
func (e *env) showKey(key mes.APIKey, text string) error {
	fmt.Fprintf(e.stderr, "key %s (%s); it is shown this once:\n", key.ID, key.Name)
	_, err := fmt.Fprintln(e.stdout, text)
	return err
}

type keysListCmd struct {
	configFlag
}

// Run lists the keys.
func (c *keysListCmd) Run(e *env) error {
	return c.withKeys(e, true, func(keys *auth.Service) error {
		list, err := keys.List(e.ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tNAME\tPREFIX\tSCOPES\tSITES\tMACHINES\tEXPIRES\tREVOKED")
		for _, k := range list {
			scopes := make([]string, len(k.Scopes))
			for i, s := range k.Scopes {
				scopes[i] = string(s)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Prefix, strings.Join(scopes, ","),
				orAny(k.Limit.Sites), orAny(k.Limit.Machines), orNever(k.ExpiresAt), orNever(k.RevokedAt))
		}
		return w.Flush()
	})
}

func orAny(list []string) string {
	if len(list) == 0 {
		return "any"
	}
	return strings.Join(list, ",")
}

func orNever(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

type keysRevokeCmd struct {
	configFlag
	ID string `arg:"" help:"Id of the key."`
}

// Run withdraws a key.
func (c *keysRevokeCmd) Run(e *env) error {
	id, err := mes.ParseID(c.ID)
	if err != nil {
		return err
	}
	return c.withKeys(e, true, func(keys *auth.Service) error {
		if err := keys.Revoke(e.ctx, id); err != nil {
			return err
		}
		_, err := fmt.Fprintln(e.stdout, "revoked", id)
		return err
	})
}

type keysRotateCmd struct {
	configFlag
	ID      string        `arg:"" help:"Id of the key."`
	Overlap time.Duration `default:"24h" help:"How long the old key stays valid."`
}

// Run makes a successor of a key.
func (c *keysRotateCmd) Run(e *env) error {
	id, err := mes.ParseID(c.ID)
	if err != nil {
		return err
	}
	return c.withKeys(e, true, func(keys *auth.Service) error {
		key, text, err := keys.Rotate(e.ctx, id, c.Overlap)
		if err != nil {
			return err
		}
		return e.showKey(key, text)
	})
}
