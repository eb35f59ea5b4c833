package broker

import (
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxRates is how many addresses are remembered. Beyond, those whose allowance is whole
// again are forgotten, and at worst all.
const maxRates = 10_000

// rates bounds the connections from each address: limit a second, and as many at once.
type rates struct {
	limit int
	mu    sync.Mutex
	byIP  map[string]*rate.Limiter
}

func newRates(limit int) *rates { return &rates{limit: limit, byIP: map[string]*rate.Limiter{}} }

func (r *rates) allow(addr net.Addr, now time.Time) bool {
	if r.limit == 0 {
		return true
	}
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		host = addr.String()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.byIP[host]
	if l == nil {
		if len(r.byIP) >= maxRates {
			r.forget(now)
		}
		l = rate.NewLimiter(rate.Limit(r.limit), r.limit)
		r.byIP[host] = l
	}
	return l.AllowN(now, 1)
}

func (r *rates) forget(now time.Time) {
	for host, l := range r.byIP {
		if l.TokensAt(now) >= float64(r.limit) {
			delete(r.byIP, host)
		}
	}
	if len(r.byIP) >= maxRates {
		clear(r.byIP)
	}
}
