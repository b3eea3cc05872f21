package daemon

import (
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
	if err != nil || len(standing) != 1 || standing["app"]["10.0.0.1:80"].Weight.Int() != 3 || !standing["app"]["10.0.0.2:80"].Down {
		t.Errorf("standing: got %v, %v", standing, err)
	}
	diff, err := h.plan(weights.Set{"app": {"10.0.0.1:80": {Weight: weights.Clamp(7)}, "10.0.0.2:80": {Weight: weights.Clamp(5)}}})
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
			if len(peers) != 2 || peers[0].Weight != c.weight || peers[1].Server != "10.0.0.2:80" || peers[1].Down != c.listed || peers[1].Backup {
				t.Errorf("got %+v, want weight %d, and the second one down", peers, c.weight)
			}
			if c.shown[0].Weight != before.Weight {
				t.Error("what others read is changed too")
			}
		})
	}
}
