package daemon

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"trimtab/control"
)

func TestTroublesBeginAndEnd(t *testing.T) {
	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(sec int) time.Time { return began.Add(time.Duration(sec) * time.Second) }
	tr := newTroubles(prometheus.NewRegistry())
	var b strings.Builder
	tr.printTo(&b, at(0))
	if b.String() != "" {
		t.Errorf("before any: got %q", &b)
	}
	tr.note(troubleTelemetry, "connection refused", at(0))
	tr.note(troubleTelemetry, "timeout\nafter 2s \x1b[31m", at(3))
	tr.note(troubleApply, "refused", at(4))
	tr.note(troubleApply, "", at(5))
	tr.note(troubleState, "", at(5))
	tr.printTo(&b, at(10))
	want := "apply: 1 errors, over, the last 6s ago: refused\n" +
		"telemetry: 2 errors, since 2026-01-01T12:00:00Z (10s): timeout; after 2s \\u001b[31m\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", &b, want)
	}
	for kind, want := range map[string][3]float64{
		troubleTelemetry: {2, seconds(at(3)), seconds(at(0))}, troubleApply: {1, seconds(at(4)), 0}, troubleState: {0,
			0, 0},
	} {
		got := [3]float64{testutil.ToFloat64(tr.total.WithLabelValues(kind)),
			testutil.ToFloat64(tr.last.WithLabelValues(kind)),
			testutil.ToFloat64(tr.since.WithLabelValues(kind))}
		if got != want {
			t.Errorf("%s: got %v, want %v", kind, got, want)
		}
	}
	tr.note(troubleTelemetry, "", at(11))
	tr.note(troubleTelemetry, "again", at(20))
	if since := tr.all()[troubleTelemetry].Since; since == nil || !since.Equal(at(20)) {
		t.Errorf("begun anew: got %v, want %v", since, at(20))
	}
}

// Whatever puts a secret into an error, nobody reads it: not in the log, on /readyz, in /explain or in systemd's
// status.
func TestSecretsAreScrubbed(t *testing.T) {
	d, log, _ := testService(t, func(c *Config) {
		c.Status.URL = "http://me:pa%24sword@127.0.0.1:1/status?token=t0k3n&x=y"
		c.Status.Headers = map[string]string{"Authorization": "Basic bWU6cGE=", "Host": "status.internal"}
		c.password = "fromfile"
	})
	for i, secret := range []string{"pa$sword", "pa%24sword", "t0k3n", "Basic bWU6cGE=", "fromfile"} {
		err := fmt.Errorf("%w: %d: somebody says %s of status.internal", control.ErrApply, i, secret)
		d.note(nil, "", control.Outcome{}, nil, err)
		d.lastErr = "" // so that the next is logged, too
		d.trouble(troubleOrders, errors.New(secret))
		for _, path := range []string{"/readyz", "/explain"} {
			w := httptest.NewRecorder()
			d.routes().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			if text := w.Body.String(); strings.Contains(text, secret) || !strings.Contains(text, "status.internal") {
				t.Errorf("%s: got %s, want the error without %q", path, text, secret)
			}
		}
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q: %s", secret, log)
		}
	}
}

func TestReadyzCountsErrors(t *testing.T) {
	d, _, _ := testService(t, nil)
	d.note(nil, "", control.Outcome{}, nil, fmt.Errorf("%w: connection refused", control.ErrTelemetry))
	w := httptest.NewRecorder()
	d.routes().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "\ntelemetry: 1 errors, since ") ||
		!strings.Contains(w.Body.String(), "connection refused") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	d.note(nil, "", control.Outcome{}, nil, nil)
	w = httptest.NewRecorder()
	d.routes().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if !strings.Contains(w.Body.String(), "telemetry: 1 errors, over, the last ") {
		t.Errorf("once it is over: got %d %s", w.Code, w.Body)
	}
}
