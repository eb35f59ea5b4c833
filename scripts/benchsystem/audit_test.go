package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A run must not pass over a record that was promised and is not there.
func TestLostRecordsAreFound(t *testing.T) {
	t.Parallel()
	page := ""
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, page) }))
	t.Cleanup(metrics.Close)
	for _, c := range []struct {
		acknowledged, unanswered int64
		page                     string
		ok                       bool
	}{
		{10, 0, metricCreated + " 10\n", true},
		{10, 3, metricCreated + " 13\n", true},
		{10, 0, metricCreated + " 9\n", false},
		{10, 3, metricCreated + " 9\n", false},
		{10, 3, metricCreated + " 14\n", false},
		{0, 0, "", false},
	} {
		page = c.page
		s := &server{metrics: metrics.URL, http: metrics.Client(), acknowledged: c.acknowledged, unanswered: c.unanswered}
		if err := s.audit(t.Context()); (err == nil) != c.ok {
			t.Errorf("%d acknowledged, %d unanswered, %q: %v", c.acknowledged, c.unanswered, c.page, err)
		}
	}
}

func TestUnexpectedAnswersAreFound(t *testing.T) {
	t.Parallel()
	one := tally{answers: 5}
	if err := one.unexpected(); err != nil {
		t.Error(err)
	}
	two := tally{other: map[int]int64{http.StatusServiceUnavailable: 2}}
	one.merge(&two)
	one.merge(&two)
	if one.other[http.StatusServiceUnavailable] != 4 || one.unexpected() == nil || one.unexpected(http.StatusServiceUnavailable) != nil {
		t.Errorf("%+v", one)
	}
	one.count(http.StatusInternalServerError, 1)
	if one.unexpected(http.StatusServiceUnavailable) == nil {
		t.Error("a 500 is passed over")
	}
}
