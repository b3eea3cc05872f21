package nginx

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func mustParse(t *testing.T, upstreams string) *Config {
	t.Helper()
	cfg, err := parseText([]byte("http {\n" + upstreams + "\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// after is the text of the upstreams once the plan has been carried out.
func after(t *testing.T, p *Plan) string {
	t.Helper()
	text := string(p.Config.Files[0].Data)
	if !p.Empty() {
		text = string(p.Files[0].Apply())
	}
	return strings.TrimSuffix(strings.TrimPrefix(text, "http {\n"), "\n}\n")
}

func w(n int) Setting { return Setting{Weight: n} }

func TestPlan(t *testing.T) {
	const two = "upstream u { server 10.0.0.1 weight=2; server 10.0.0.2 weight=4; }"
	for _, tt := range []struct {
		what, text string
		want       map[string]Setting
		expect     string // text after; empty: nothing changes
	}{
		{"weights that stand there already change nothing", two, map[string]Setting{"10.0.0.1": w(2), "10.0.0.2": w(4)},
			""},
		{"weights in the same proportion change nothing", two, map[string]Setting{"10.0.0.1": w(50),
			"10.0.0.2": w(100)}, ""},
		{"weights are divided by their common factor", two, map[string]Setting{"10.0.0.1": w(40), "10.0.0.2": w(60)},
			"upstream u { server 10.0.0.1 weight=2; server 10.0.0.2 weight=3; }"},
		{"a server that is not named keeps its weight, and nothing is divided", two,
			map[string]Setting{"10.0.0.1": w(4)},
			"upstream u { server 10.0.0.1 weight=4; server 10.0.0.2 weight=4; }"},
		{"servers may be named as written or as NGINX prints them", two, map[string]Setting{"10.0.0.1:80": w(1),
			"10.0.0.2": w(9)},
			"upstream u { server 10.0.0.1 weight=1; server 10.0.0.2 weight=9; }"},
		{"primary and backup servers are divided apart from each other",
			"upstream u { server 10.0.0.1; server 10.0.0.2; server 10.0.0.3 backup; server 10.0.0.4 backup; }",
			map[string]Setting{"10.0.0.1": w(10), "10.0.0.2": w(20), "10.0.0.3": w(9), "10.0.0.4": w(6)},
			"upstream u { server 10.0.0.1; server 10.0.0.2 weight=2; server 10.0.0.3 weight=3 backup; server " +
				"10.0.0.4 weight=2 backup; }"},
		{"a weight of 1 is not written where none stands", "upstream u { server 10.0.0.1; server 10.0.0.2 weight=2; }",
			map[string]Setting{"10.0.0.1": w(1), "10.0.0.2": w(3)}, "upstream u { server 10.0.0.1; server 10.0.0.2 " +
				"weight=3; }"},
		{"the operator's heavy weights stay when the proportion does", "upstream u { server 10.0.0.1 weight=1000; " +
			"server 10.0.0.2 weight=500; }",
			map[string]Setting{"10.0.0.1": w(2), "10.0.0.2": w(1)}, ""},
		{"a host name is named as written", "upstream u { server a.example.com; server b.example.com:81; }",
			map[string]Setting{"a.example.com": w(2), "b.example.com:81": w(3)}, "upstream u { server a.example.com " +
				"weight=2; server b.example.com:81 weight=3; }"},
		{"one server alone needs no weight", "upstream u { server 10.0.0.1; }", map[string]Setting{"10.0.0.1": w(7)},
			""},
	} {
		t.Run(tt.what, func(t *testing.T) {
			p, err := mustParse(t, tt.text).Plan(Settings{"u": tt.want}, PlanOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if tt.expect == "" {
				tt.expect = tt.text
				if !p.Empty() || p.Diff() != "" {
					t.Errorf("got a plan that writes: %s", p.Diff())
				}
			}
			if got := after(t, p); got != tt.expect {
				t.Errorf("got  %s\nwant %s", got, tt.expect)
			}
		})
	}
}

func TestPlanAsDiff(t *testing.T) {
	p, err := mustParse(t, "    upstream u {\n        server 10.0.0.1;\n        server 10.0.0.2 weight=4;\n    }").Plan(Settings{"u": {"10.0.0.1": w(3)}}, PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := "--- /nginx.conf\n+++ /nginx.conf\n@@ -1,6 +1,6 @@\n http {\n     upstream u {\n-        server " +
		"10.0.0.1;\n+        server 10.0.0.1 weight=3;\n" +
		"         server 10.0.0.2 weight=4;\n     }\n }\n"
	if p.Diff() != want {
		t.Errorf("got\n%s\nwant\n%s", p.Diff(), want)
	}
}

func TestPlanNotes(t *testing.T) {
	for method, want := range map[string]string{
		"ip_hash;": "move clients", "hash $uri consistent;": "move clients", "least_conn;": "", "random;": "",
		"balancer_by_lua_block { x = '}' }": "up to that code",
	} {
		p, err := mustParse(t, "upstream u { server 10.0.0.1; server 10.0.0.2; "+method+" }").Plan(Settings{"u": {"10.0.0.1": w(3)}}, PlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.Notes, " "); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: got notes %q, want %q", method, got, want)
		}
	}
}

func TestPlanEjection(t *testing.T) {
	const text = "upstream u { server 10.0.0.1  weight=2 ; server 10.0.0.2 down weight=4; server 10.0.0.3; }"
	down := func(n int) Setting { return Setting{Weight: n, Down: true} }
	ours := func(_, server string) bool { return server == "10.0.0.2:80" }
	for _, tt := range []struct {
		what   string
		want   map[string]Setting
		opt    PlanOptions
		expect string
		why    string
	}{
		{"down is not added unless ejection is on", map[string]Setting{"10.0.0.1": down(2)}, PlanOptions{}, "",
			"not switched on"},
		{"down is added before the semicolon", map[string]Setting{"10.0.0.1": down(2)}, PlanOptions{Eject: true},
			"upstream u { server 10.0.0.1  weight=2  down; server 10.0.0.2 down weight=4; server 10.0.0.3; }", ""},
		{"the operator's down is not taken back", map[string]Setting{"10.0.0.2": w(4)}, PlanOptions{Eject: true}, "",
			"someone else"},
		{"the last server that is up is not marked down", map[string]Setting{"10.0.0.1": down(2), "10.0.0.3": down(1)},
			PlanOptions{Eject: true}, "", "no server would be left up"},
		{"our own down is", map[string]Setting{"10.0.0.2": w(5)}, PlanOptions{Eject: true, Ejected: ours},
			"upstream u { server 10.0.0.1  weight=2 ; server 10.0.0.2 weight=5; server 10.0.0.3; }", ""},
	} {
		t.Run(tt.what, func(t *testing.T) {
			p, err := mustParse(t, text).Plan(Settings{"u": tt.want}, tt.opt)
			var refusal *Refusal
			if tt.why != "" {
				if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, tt.why) {
					t.Errorf("got %v, want a refusal that says %q", err, tt.why)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := after(t, p); got != tt.expect {
				t.Errorf("got  %s\nwant %s", got, tt.expect)
			}
		})
	}
}

// A server is ejected and taken back on a running NGINX; the file is then the operator's to the byte.
func TestEjectAndReturn(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	a.Eject = true
	down := b.want(1, 2)
	down["u"][b.b] = Setting{Weight: 2, Down: true}
	if _, err := a.Apply(t.Context(), down); err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(string(b.old), "max_fails=3;", "max_fails=3 down;", 1); b.read(t) != want ||
		!b.inForce(t, 3, 0) {
		t.Errorf("got file\n%s\nwant the second server down", b.read(t))
	}
	// Another process takes it back: whose mark it is, is on record.
	again := b.applier(t)
	again.StateDir, again.Eject = a.StateDir, true
	if _, err := again.Apply(t.Context(), b.want(1, 2)); err != nil {
		t.Fatal(err)
	}
	if b.read(t) != string(b.old) || !b.inForce(t, 1, 2) {
		t.Errorf("got file\n%s\nwant the operator's", b.read(t))
	}
}

func TestMatchPeers(t *testing.T) {
	cfg := mustParse(t, "upstream u { server 10.0.0.1; server [::1]:81; server unix:/run/x.sock; } upstream h { "+
		"server a.example.com; } upstream d { server 10.0.0.1; server 10.0.0.1; }")
	page := func(servers ...string) Status {
		s := Status{Upstreams: map[string][]PeerStatus{}}
		for _, server := range servers {
			s.Upstreams["u"] = append(s.Upstreams["u"], PeerStatus{Server: server, Weight: 1})
		}
		s.Upstreams["h"] = []PeerStatus{{Server: "10.0.0.7:80", Weight: 1}, {Server: "10.0.0.8:80", Weight: 1}}
		s.Upstreams["d"] = []PeerStatus{{Server: "10.0.0.1:80", Weight: 1}}
		return s
	}
	for _, tt := range []struct {
		what, upstream string
		page           Status
		why            string
	}{
		{"the same servers", "u", page("unix:/run/x.sock", "10.0.0.1:80", "[::1]:81"), ""},
		{"a server less on the page", "u", page("unix:/run/x.sock", "10.0.0.1:80"), "[::1]:81 of upstream \"u\" is " +
			"not on the status page"},
		{"a server more on the page", "u", page("unix:/run/x.sock", "10.0.0.1:80", "[::1]:81", "10.0.0.9:80"),
			"shows server 10.0.0.9:80"},
		{"the page does not show the upstream", "u", page(), "not on the status page"},
		{"a host name", "h", page(), "host name"},
		{"a server twice", "d", page(), "twice"},
		{"no such upstream", "x", page(), `no upstream "x"`},
	} {
		t.Run(tt.what, func(t *testing.T) {
			err := cfg.MatchPeers(tt.page, tt.upstream)
			if tt.why == "" && err != nil || tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why)) {
				t.Errorf("got %v, want %q", err, tt.why)
			}
		})
	}
	// The module shows a stand-in with weight 0 when no server is live.
	s := page("unix:/run/x.sock", "10.0.0.1:80", "[::1]:81")
	s.Upstreams["u"] = append(s.Upstreams["u"], PeerStatus{Server: "u"})
	if err := cfg.MatchPeers(s, "u"); err != nil {
		t.Errorf("with the stand-in: %v", err)
	}
}

// The daemon's setting: an edit that NGINX has not loaded yet holds every change until someone reloads.
func TestUnloadedEditHoldsChanges(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	a.HoldUnloaded = true
	if _, err := a.Apply(t.Context(), b.want(3, 5)); err != nil {
		t.Fatal(err)
	}
	// The start of the workers is known to a second here.
	began := time.Now()
	waitFor(t, "a second to pass", func() bool { return time.Since(began) > 1200*time.Millisecond })
	write(t, b.Config, edited(b.text(3, 5), 1))
	r, err := a.Apply(t.Context(), b.want(7, 5))
	refused(t, r, err, "was saved after NGINX had loaded its configuration", "reload NGINX yourself")
	a.HoldUnloaded = false
	r, err = a.Apply(t.Context(), b.want(7, 5))
	if err != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "puts that in force too") {
		t.Errorf("not held: got notes %q, %v", r.Notes, err)
	}
}
