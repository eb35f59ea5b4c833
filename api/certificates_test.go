package api_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"plantgate/internal/mes"
)

// shownCertificates is a registry with one certificate.
type shownCertificates struct{ one mes.ServerCertificate }

func (s *shownCertificates) List(context.Context, string) ([]mes.ServerCertificate, error) {
	return []mes.ServerCertificate{s.one}, nil
}

func (s *shownCertificates) Decide(_ context.Context, _, thumbprint string, state mes.CertificateState, by string) (mes.ServerCertificate, error) {
	if thumbprint != s.one.Thumbprint {
		return mes.ServerCertificate{}, mes.Errorf(mes.CodeNotFound, "not shown")
	}
	s.one.State, s.one.DecidedBy = state, by
	return s.one, nil
}

// TestCertificatesAreDecidedOf by who may.
func TestCertificatesAreDecidedOf(t *testing.T) {
	t.Parallel()
	shown := &shownCertificates{mes.ServerCertificate{Thumbprint: "ab", State: mes.CertificateParked, Reason: "unknown", FirstSeen: time.Now()}}
	f := setup(t, func(f *fixture) {
		f.deps.Certificates = shown
		f.adapters = []mes.AdapterStatus{{Door: mes.DoorOPCUA, Name: "press"}, {Door: mes.DoorMQTT, Name: "plant"}}
	})
	const list = "/api/v1/adapters/opcua/press/certificates"
	one := into[object](f.get(list).want(http.StatusOK))["items"].([]any)[0].(object)
	if one["thumbprint"] != "ab" || one["state"] != "parked" || one["reason"] != "unknown" {
		t.Errorf("%v", one)
	}
	if got := into[object](f.do(call{method: http.MethodPost, path: list + "/ab/approve"}).want(http.StatusOK)); got["state"] != "approved" || got["decided_by"] == "" {
		t.Errorf("%v", got)
	}
	if got := into[object](f.do(call{method: http.MethodPost, path: list + "/ab/reject"}).want(http.StatusOK)); got["state"] != "rejected" {
		t.Errorf("%v", got)
	}
	f.do(call{method: http.MethodPost, path: list + "/cd/approve"}).want(http.StatusNotFound)
	reader := f.key(mes.Scope{}, mes.ScopeAdaptersRead)
	f.do(call{path: list, key: reader}).want(http.StatusOK)
	f.do(call{method: http.MethodPost, path: list + "/ab/approve", key: reader}).want(http.StatusForbidden)
	bound := f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M1"}}, mes.ScopeAdmin)
	f.do(call{method: http.MethodPost, path: list + "/ab/approve", key: bound}).want(http.StatusForbidden)
	f.get("/api/v1/adapters/opcua/pre%2573s/certificates").want(http.StatusNotFound)
	f.get("/api/v1/adapters/opcua/pre%73s/certificates").want(http.StatusOK)
	f.get("/api/v1/adapters/opcua/plant/certificates").want(http.StatusNotFound)
	f.do(call{method: http.MethodPost, path: "/api/v1/adapters/opcua/nowhere/certificates/ab/approve"}).want(http.StatusNotFound)
}
