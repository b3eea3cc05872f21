package daemon

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/vts"
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
		{"all is well", "/healthz", func(int64, http.ResponseWriter, *http.Request) {}, 0, true, 2 * probeTimes},
		{"a redirection is an answer, and not followed", "/healthz",
			func(_ int64, w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			}, 0, true, 2 * probeTimes},
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
			false, 1 + probeTimes},
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
			cfg.Upstream = []UpstreamConfig{{Name: "app", Probe: c.path}, {Name: "other", Probe: probeOff}}
			p := newProber(cfg)
			p.limit = 30 * time.Second
			if c.name == "it hangs" {
				p.limit = 50 * time.Millisecond
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
			if p.tell(policy); len(p.out) != 0 {
				t.Errorf("it is back: got %v still asked", p.out)
			}
		})
	}
	never := Defaults()
	never.Tuner.Eject = ejectNever
	if newProber(never) != nil {
		t.Error("nobody is ever taken out: want no prober")
	}
	(*prober)(nil).tell(&probedPolicy{})
}

// Where no probe is named, a server that is out is asked what its peers are asked too.
func TestServersThatAreOutAreComparedWithTheirPeers(t *testing.T) {
	code := func(codes ...int) http.HandlerFunc { // one after the other, the last one for ever
		var n atomic.Int64
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(codes[min(int(n.Add(1)), len(codes))-1]) }
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	const told, silent = true, false
	for _, c := range []struct {
		name      string
		peer, own http.HandlerFunc
		told      bool // anything
		back      bool // after two rounds
		late      bool // when it has been out for long
	}{
		{"it does as its peer", code(200), code(200), told, true, true},
		{"both have nothing at /", code(404), code(404), told, true, true},
		{"the peer asks for a password, it does not", code(401), code(302), told, true, true},
		{"it sheds", code(200), code(429), told, false, false},
		{"it sheds now and then", code(200), code(200, 200, 200, 200, 200, 200, 429), told, false, false},
		{"it hangs", code(200), hang, told, false, false},
		{"it is out of order, its peer has nothing there", code(404), code(503), told, false, false},
		{"it has nothing, its peer has: requests tell, some day", code(200), code(404), told, false, true},
		{"the peer sheds too", code(429), code(200), silent, false, false},
		{"the peer hangs", hang, code(200), silent, false, false},
		{"both want TLS", code(400), code(400), silent, false, false},
		{"the peer cannot be compared with any more", code(200, 503), code(429), told, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			serve := func(h http.HandlerFunc) string {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Host != "app" || r.URL.Path != "/" || r.Method != http.MethodGet {
						t.Errorf("asked %s %s of %s, want GET / of the upstream", r.Method, r.URL.Path, r.Host)
					}
					h(w, r)
				}))
				t.Cleanup(s.Close)
				return strings.TrimPrefix(s.URL, "http://")
			}
			own, peer := serve(c.own), serve(c.peer)
			p := newProber(Defaults())
			if p.limit = 30 * time.Second; strings.Contains(c.name, "hang") {
				p.limit = time.Second
			}
			now := time.Unix(1e9, 0)
			p.now = func() time.Time { return now }
			policy := &probedPolicy{out: map[string][]string{"app": {own}}}
			sample := &vts.Sample{Groups: []vts.GroupSample{{Name: "other", Peers: []vts.PeerSample{{Server: "192.0.2.1:1"}}},
				{Name: "app", Peers: []vts.PeerSample{{Server: own, Requests: 9, Down: true}, {Server: "192.0.2.2:1", Backup: true},
					{Server: "unix:/run/app"}, {Server: peer, Requests: 3}}}}}
			p.saw(sample)
			p.saw(nil) // an interval without telemetry
			p.tell(policy)
			if policy.asked != 0 {
				t.Error("told before anybody was asked")
			}
			for range probeRounds {
				p.round(t.Context())
			}
			if p.tell(policy); policy.asked > 0 != c.told || policy.answers != c.back {
				t.Errorf("after two rounds: told %t that it answers %t, want %t %t", policy.asked > 0, policy.answers, c.told,
					c.back)
			}
			now = now.Add(probeDoubt)
			if p.tell(policy); policy.answers != c.late {
				t.Errorf("after long: told that it answers %t, want %t", policy.answers, c.late)
			}
		})
	}
}
