package daemon

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trimtab/control"
)

// probedPolicy has one server taken out, and notes what it is told of it.
type probedPolicy struct {
	control.Fixed
	control.Policy
	out     map[string][]string
	asked   int
	answers bool
}

func (p *probedPolicy) Ejected() map[string][]string { return p.out }
func (p *probedPolicy) Asked(_, _ string, answers bool) {
	p.asked++
	p.answers = answers
}
func (p *probedPolicy) Choose() control.Decision    { return control.Decision{} }
func (p *probedPolicy) Committed(r control.Receipt) {}

func TestServersThatAreOutAreProbed(t *testing.T) {
	for _, c := range []struct {
		name, path string
		answer     func(n int64, w http.ResponseWriter, r *http.Request)
		heals      int64 // from this request on it answers well
		want       bool  // after two rounds
		asks       int64 // in them
	}{
		{"all is well", "/healthz", func(int64, http.ResponseWriter, *http.Request) {}, 0, true, 10},
		{"a redirection is an answer, and not followed", "/healthz",
			func(_ int64, w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			}, 0, true, 10},
		{"it sheds all: one request a round", "/healthz", func(_ int64, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(429)
		}, 1000, false, 2},
		{"it sheds every fifth", "/healthz", func(n int64, w http.ResponseWriter, _ *http.Request) {
			if n%5 == 0 {
				w.WriteHeader(429)
			}
		}, 1000, false, 10},
		{"it hangs", "/healthz", func(_ int64, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 1000,
			false, 2},
		{"it heals in the second round: one more is wanted", "/healthz",
			func(_ int64, w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(503)
			}, 2,
			false, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Host != "app" || r.URL.Path != c.path {
					t.Errorf("asked %s of %s, want %s of the upstream", r.URL.Path, r.Host, c.path)
				}
				if i := n.Add(1); c.heals == 0 || i < c.heals {
					c.answer(i, w, r)
				}
			}))
			defer s.Close()
			cfg := Defaults()
			cfg.Upstream = []UpstreamConfig{{Name: "app", Probe: c.path}, {Name: "other"}}
			p := newProber(cfg)
			p.client.Timeout = 5 * time.Second
			if c.name == "it hangs" {
				p.client.Timeout = 50 * time.Millisecond
			}
			policy := &probedPolicy{out: map[string][]string{"app": {strings.TrimPrefix(s.URL, "http://"),
				"unix:/run/app"},
				"other": {"127.0.0.1:1"}}}
			p.tell(policy)
			if policy.asked != 1 || policy.answers {
				t.Errorf("before the first round: told %d times, %t; want once of the server that can be asked, and "+
					"that it does not answer",
					policy.asked, policy.answers)
			}
			for range probeRounds {
				p.round(t.Context())
			}
			if p.tell(policy); policy.answers != c.want || n.Load() != c.asks {
				t.Errorf("got %t after %d requests, want %t after %d", policy.answers, n.Load(), c.want, c.asks)
			}
			policy.out = nil
			if p.tell(policy); len(p.right) != 0 {
				t.Errorf("it is back: got %v still asked", p.right)
			}
		})
	}
	if newProber(Defaults()) != nil {
		t.Error("no upstream has a probe: want no prober")
	}
	(*prober)(nil).tell(&probedPolicy{})
}
