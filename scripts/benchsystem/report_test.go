package main

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %g", c.values, got)
		}
	}
}

func TestReportForms(t *testing.T) {
	t.Parallel()
	r := &report{}
	for _, v := range []float64{30, 10, 20} {
		r.add("a b", "req/s", v)
		r.add("c", "ms to ready", v)
		r.add("a b", "p99-ms", v/100)
	}
	r.atMost("fast", "ms", 1, 2)
	r.atMost("small", "MB", 3, 2)
	r.fail(nil)
	r.fail(errors.New("lost"))
	for format, want := range map[string][]string{
		formatBench: {"BenchmarkSystem/a_b\t1\t30 req/s\t0.3 p99-ms\n", "BenchmarkSystem/a_b\t1\t10 req/s\t0.1 p99-ms\n", "BenchmarkSystem/c\t1\t20 ms-to-ready\n"},
		formatJSON:  {`{"name":"a b","unit":"req/s","median":20,"min":10,"max":30,"rounds":[30,10,20]}`, `{"target":"small","pass":false,"value":3,"limit":2,"unit":"MB"}`, `{"broken":"lost"}`},
		formatTable: {"PASS  fast: 1.00, at most 2.00 ms", "FAIL  small: 3.00, at most 2.00 MB", "BROKEN  lost", "req/s"},
	} {
		for _, f := range []string{format, formatAll} {
			if format == formatBench && f == formatAll {
				continue
			}
			var out strings.Builder
			if err := r.write(&out, f); err != nil {
				t.Fatal(err)
			}
			for _, line := range want {
				if !strings.Contains(out.String(), line) {
					t.Errorf("%s has no %q:\n%s", f, line, out.String())
				}
			}
		}
	}
}

func TestParseMetric(t *testing.T) {
	t.Parallel()
	const text = "# HELP a_total A.\na_total{x=\"1\"} 3\na_total 4\nab 1.5e+06\n"
	for name, want := range map[string]float64{"a_total": 4, `a_total{x="1"}`: 3, "ab": 1.5e6} {
		if got, ok, err := parseMetric(text, name); err != nil || !ok || got != want {
			t.Errorf("%s is %g, %t, %v", name, got, ok, err)
		}
	}
	if got, ok, err := parseMetric(text, "b"); got != 0 || ok || err != nil {
		t.Errorf("what is not there is %g, %t, %v", got, ok, err)
	}
	if _, _, err := parseMetric("a x\n", "a"); err == nil {
		t.Error("x is a figure")
	}
}

func TestGrowth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		half, end float64
		records   int64
		want      float64
	}{{0, 0, 0, 0}, {100, 100, 1000, 0}, {500, 1000, 1000, 1}, {500, 250, 1000, -0.5}} {
		if got := growth(c.half, c.end, c.records); got != c.want {
			t.Errorf("%+v: %g", c, got)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := parseOptions([]string{"-short", "-clients", "1, 2", "-preload=7", "-scenarios=mqtt"}, io.Discard)
	if err != nil || len(o.clients) != 2 || o.clients[1] != 2 || o.preload != 7 || o.rounds != defaults(true).rounds || o.runs(scenarioBatch) || !o.runs(scenarioMQTT) {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = parseOptions(nil, io.Discard); err != nil || o.preload != 1_000_000 || !o.runs(scenarioBatch) {
		t.Errorf("%+v, %v", o, err)
	}
	for _, bad := range []string{"-clients=0", "-clients=x", "-scenarios=all", "-format=xml", "-rounds=0", "-machines=10001", "-machines=63", "-batch=1", "-length=1ms", "more", "-what"} {
		if _, err := parseOptions([]string{bad}, io.Discard); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
