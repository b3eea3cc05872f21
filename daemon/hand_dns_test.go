package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trimtab/helper"
	"trimtab/nginx/dns"
	"trimtab/vts"
	"trimtab/weights"
)

// testDNSHand is a hand that nobody asks, of an upstream of two servers with weights 3 and 5, the second left out.
func testDNSHand(t *testing.T) dnsHand {
	t.Helper()
	cfg := Defaults()
	cfg.StateDir, cfg.Actuator.Kind = t.TempDir(), "dns"
	store := dns.Store{Path: filepath.Join(cfg.StateDir, "dns.json")}
	if _, _, err := store.Update(t.Context(), func(s *dns.State) (bool, error) {
		s.Upstreams = map[string]dns.Upstream{"app": {Servers: []dns.Peer{
			{Address: "10.0.0.1:80", Weight: 3, Base: 1}, {Address: "10.0.0.2:80", Weight: 5, Base: 1, Down: true},
		}}}
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	s, err := newSession(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s.hand.(dnsHand)
}

func TestDNSHandKnowsWhatNGINXIsTold(t *testing.T) {
	h := testDNSHand(t)
	standing, err := h.standing(t.Context())
	if err != nil || len(standing) != 1 || standing["app"]["10.0.0.1:80"].Weight.Int() != 3 ||
		!standing["app"]["10.0.0.2:80"].Down {
		t.Errorf("standing: got %v, %v", standing, err)
	}
	diff, err := h.plan(weights.Set{"app": {"10.0.0.1:80": {Weight: weights.Clamp(7)},
		"10.0.0.2:80": {Weight: weights.Clamp(5)}}})
	if err != nil || diff != "app 10.0.0.1:80: weight 7, now 3\n" {
		t.Errorf("plan: got %q, %v, want the one server that changes", diff, err)
	}
	if why := h.obstacle(); !strings.HasPrefix(why, "dns: ") {
		t.Errorf("obstacle: got %q, want that nobody is answered yet", why)
	}
	if h.Session.look(); slices.Contains(h.names(), "app") {
		t.Error("an upstream is tuned that NGINX's configuration does not have")
	}
	h.cfg.Nginx.Config = ""
	if h.Session.look(); !slices.Contains(h.names(), "app") {
		t.Errorf("without a configuration that can be read: got %v tuned, want what NGINX is told", h.names())
	}
}

func TestDNSHandPutsInWhatThePageDoesNotShow(t *testing.T) {
	for _, c := range []struct {
		name   string
		shown  []vts.PeerSample
		weight int  // of the first server
		listed bool // the second one, as down
	}{
		{"the page knows no weights", []vts.PeerSample{{Server: "10.0.0.1:80"}}, 3, true},
		{"the page shows a weight, which counts", []vts.PeerSample{{Server: "10.0.0.1:80", Weight: 4}}, 4, true},
		{"who is left out stands in as a backup", []vts.PeerSample{
			{Server: "10.0.0.1:80", Weight: 3}, {Server: "10.0.0.2:80", Weight: 1, Backup: true}}, 3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := c.shown[0]
			sample := vts.Sample{Groups: []vts.GroupSample{{Name: "app", Peers: c.shown}}}
			if err := testDNSHand(t).overlay(t.Context(), &sample); err != nil {
				t.Fatal(err)
			}
			peers := sample.Groups[0].Peers
			if len(peers) != 2 || peers[0].Weight != c.weight || peers[1].Server != "10.0.0.2:80" ||
				peers[1].Down != c.listed || peers[1].Backup {
				t.Errorf("got %+v, want weight %d, and the second one down", peers, c.weight)
			}
			if c.shown[0].Weight != before.Weight {
				t.Error("what others read is changed too")
			}
		})
	}
}

// What dns.Faults says of a configuration is known of what the helper says of it too.
func TestDNSHandKnowsWhatKeepsAnUpstreamFromGoingByIt(t *testing.T) {
	const good = "zone app 256k; resolver 127.0.0.1:5653; server app.trimtab service=http resolve;"
	for _, c := range []struct {
		name, http, upstream, why string // why is empty: it may be tuned
		joins                     string // why three more servers are not taken; empty: they are
	}{
		{"as it is installed", "", good, "", ""},
		{"not installed", "", "server 10.0.0.1:80;", "run trimtab nginx dns install", ""},
		{"weight= beside resolve", "", strings.Replace(good, "resolve;", "resolve weight=3;", 1),
			"weight=3 stands beside resolve", ""},
		{"another name", "", strings.Replace(good, "app.trimtab", "web.trimtab", 1), "of a name that is not answered",
			""},
		{"somebody else's resolver", "", strings.Replace(good, "127.0.0.1:5653", "8.8.8.8", 1),
			"its resolver is 8.8.8.8", ""},
		{"the resolver of the http block is somebody else's", "resolver 10.0.0.53;",
			strings.Replace(good, "resolver 127.0.0.1:5653;", "", 1), "its resolver is 10.0.0.53", ""},
		{"the resolver of the http block is Trimtab's", "resolver 127.0.0.1:5653;",
			strings.Replace(good, "resolver 127.0.0.1:5653;", "", 1), "", ""},
		{"no zone", "", strings.Replace(good, "zone app 256k;", "", 1), "it has no zone", ""},
		{"a zone too small for more", "", strings.Replace(good, "256k", "24k", 1), "", "its zone of 24k is small for " +
			"300 servers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := testDNSHand(t)
			path := filepath.Join(t.TempDir(), "nginx.conf")
			text := "events {}\nhttp { " + c.http + " upstream app { " + c.upstream + " } }\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			h.cfg.Nginx.Config, h.own.Applier.Config = path, path
			seen, err := h.root.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			line, err := json.Marshal(seen)
			if err != nil {
				t.Fatal(err)
			}
			var told helper.Look
			if err := json.Unmarshal(line, &told); err != nil {
				t.Fatal(err)
			}
			why := h.mayTune(&told.Upstreams[0])
			if (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
				t.Errorf("may be tuned: got %q, want %q", why, c.why)
			}
			members := make([]dns.Member, 300)
			for i := range members {
				members[i].Address = fmt.Sprintf("10.1.%d.%d:80", i/250, 1+i%250)
			}
			err = h.join(t.Context(), "app", members)
			if c.joins != "" && (err == nil || !strings.Contains(err.Error(), c.joins)) {
				t.Errorf("more servers: got %v, want %q", err, c.joins)
			}
		})
	}
}
