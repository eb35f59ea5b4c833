package sparkplug

import (
	"errors"
	"fmt"
	"strings"

	"plantgate/internal/mes"
)

// Bounds of what a small message could become in memory, and in the store.
const (
	// maxMetrics is how many metrics, with the members of templates, one payload may have.
	maxMetrics = 100_000
	// maxElements is how many elements an array, or values, rows or columns a data set may
	// have.
	maxElements = 100_000
	// maxProperties is how many properties a metric may have.
	maxProperties = 1000
	// maxText is the longest text or ByteString, in bytes.
	maxText = 256 << 10
	// maxContent bounds the names, units and values of all records of one message together,
	// in bytes. The largest birth has room for 335 bytes a metric.
	maxContent = 32 << 20
)

var (
	errTooMany = fmt.Errorf("a payload has at most %d metrics", maxMetrics)
	errContent = fmt.Errorf("the names, units and values of a message have at most %d bytes together", maxContent)
	errName    = fmt.Errorf("the name of a signal has at most %d bytes", mes.MaxSignalNameLength)
)

// isSpent tells whether an error is of a message that becomes too much.
func isSpent(err error) bool { return errors.Is(err, errTooMany) || errors.Is(err, errContent) }

// budget is how much of one message has become metrics and signals.
type budget struct {
	metrics int // with the members of templates, be they good or not
	content int // bytes
}

// metric takes note of a metric, or of a member or parameter of a template.
func (b *budget) metric() error {
	if b.metrics++; b.metrics > maxMetrics {
		return errTooMany
	}
	return nil
}

// signal takes note of a signal, or of the try to make one: a value that was found too long
// has cost as much as the longest.
func (b *budget) signal(s *mes.Signal, err error) error {
	b.content += len(s.Name) + len(s.Unit) + len(s.Value.Text())
	if errors.Is(err, errValue) {
		b.content += maxText
	}
	if b.content > maxContent {
		return errContent
	}
	return nil
}

// maxProblems is how many faults of one message are told, maxReason in how many bytes.
const (
	maxProblems = 10
	maxReason   = 2000
)

// problems are the faults of one message, as many as are told.
type problems struct {
	told  []string
	count int
}

func (p *problems) addf(format string, args ...any) { p.add(fmt.Errorf(format, args...)) }

func (p *problems) add(err error) {
	if p.count++; len(p.told) < maxProblems {
		p.told = append(p.told, shortened(err.Error()))
	}
}

// text puts them into one that is not much longer than maxReason.
func (p *problems) text() string {
	why := shortened(strings.Join(p.told, "; "))
	if more := p.count - len(p.told); more > 0 {
		why += fmt.Sprintf("; and %d more", more)
	}
	return why
}

func shortened(text string) string {
	if len(text) <= maxReason {
		return text
	}
	return strings.ToValidUTF8(text[:maxReason], "") + "…"
}
