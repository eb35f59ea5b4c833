package opcua

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/vqt"
)

// The library ends the connection at a value that it can't decode (a matrix with a
// dimension of 0, for one), and does not say of which node: such a node would end every
// session at its first answer, for all the others too. So after sessions in a row that
// ended soon the next one reads the nodes one by one, and puts aside the one at which
// the library gives up.
const (
	// shortLife is how long a session lasts at most that may have ended so.
	shortLife = 10 * time.Second
	// maxShortLives is after how many such sessions in a row nodes are read one by one.
	maxShortLives = 2
)

// lived counts sessions in a row that ended soon, or that were not numbered in order. One
// that took a subscription up may miss what was lost with the connection.
func (l *lane) lived(since time.Time, err error, resumed bool) {
	switch {
	case l.misnumbered >= maxMisnumbered: // known for good
	case errors.Is(err, errMissing) && !resumed:
		l.misnumbered++
	case !errors.Is(err, errMissing) && time.Since(since) > shortLife:
		l.misnumbered = 0
	}
	if err != nil && time.Since(since) < max(shortLife, 5*l.a.cfg.PublishingInterval) {
		l.shortLives++
		return
	}
	l.shortLives = 0
}

// probe reads each node by itself if there is reason to. An error ends the session; the
// next one goes on with the nodes after it.
func (s *session) probe(ctx context.Context) error {
	if s.shortLives < maxShortLives {
		return nil
	}
	for ; s.probed < len(s.nodes); s.probed++ {
		n := s.nodes[s.probed]
		if n.undecodable != "" {
			continue
		}
		nodeID, err := address.Resolve(n.nodeID, s.client.Namespaces())
		if err != nil {
			continue // monitor says so
		}
		err = s.readable(ctx, nodeID)
		if !undecodable(err) {
			if err != nil {
				return err
			}
			continue
		}
		n.undecodable = fmt.Sprintf("its value can't be decoded: %v", err)
		s.log.Error("opcua: node is put aside, its value would end every session", "node_id", n.nodeID, "error", err)
		r := n.record(nil, nil, mes.Micros(s.a.deps.Now()))
		r.Fault = mes.Errorf(mes.CodeUnsupported, "node %s: %s", n.nodeID, n.undecodable)
		r.Payload = vqt.Describe(n.nodeID, nil)
		if err := s.put(entry{kind: entryOther, record: r}); err != nil {
			return err
		}
		return fmt.Errorf("node %s: %s", n.nodeID, n.undecodable)
	}
	s.shortLives, s.probed = 0, 0
	return nil
}

func (s *session) readable(ctx context.Context, nodeID *ua.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, s.a.timing.link.Request)
	defer cancel()
	_, err := vqt.ReadValues(ctx, s.within(), nodeID)
	return err
}

// undecodable tells whether an error is of the library's decoder, not of the network, the
// time, or the server's word.
func undecodable(err error) bool {
	var code ua.StatusCode
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &code):
		return code == ua.StatusBadEncodingLimitsExceeded || code == ua.StatusBadDecodingError
	}
	// The other errors of the decoder have no type, only the library's prefix, as those of
	// the secure channel have.
	text := err.Error()
	at := strings.Index(text, libraryPrefix)
	return errors.Is(err, io.ErrUnexpectedEOF) || at >= 0 && !strings.HasPrefix(text[at:], libraryPrefix+"sechan")
}

const libraryPrefix = "opcua: "

// decodableAgain reads the value of a node that was put aside by a connection of its own,
// which may end by it.
func (s *session) decodableAgain(ctx context.Context, n *node, nodeID *ua.NodeID) bool {
	c, err := link.Open(ctx, s.a.cfg, s.a.deps.link(), s.a.timing.link)
	if err != nil {
		return false
	}
	defer link.Close(ctx, c, s.a.timing.link)
	ctx, cancel := context.WithTimeout(ctx, s.a.timing.link.Request)
	defer cancel()
	if _, err := vqt.ReadValues(ctx, c, nodeID); err != nil {
		return false
	}
	n.undecodable = ""
	return true
}
