package vtstest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/vts"
)

const interval = 400 * time.Millisecond

// stage is an NGINX, the page of a world served through it, and those who look at it.
type stage struct {
	*instance.Instance
	t       *testing.T
	world   *World
	client  *vts.Client
	reader  *vts.Reader
	applier *nginx.Applier
	servers []string
	conf    func(servers ...string) string
}

func newStage(t *testing.T, v Version) *stage {
	t.Helper()
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	s := &stage{t: t, servers: []string{addr(1), addr(2), addr(3)}}
	s.world = &World{Version: v, Upstream: "web", Rate: 400, Seed: 18}
	server := httptest.NewServer(s.world)
	t.Cleanup(server.Close)
	s.conf = func(servers ...string) string {
		return main + fmt.Sprintf("worker_processes 1;\nevents {}\nhttp {\n%s    access_log off;\n    upstream web "+
			"{\n        server %s;\n    }\n"+
			"    server { listen %s; location / { proxy_pass http://web; } location /status { proxy_pass %s; } }\n}\n",
			instance.HTTPPaths(dir), strings.Join(servers, ";\n        server "), addr(0), server.URL)
	}
	s.Instance, err = instance.Start(t.Context(), dir, s.conf(s.servers...), addr(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	s.world.Config, s.world.PID = s.Config, s.PID
	if s.client, err = vts.NewClient(vts.ClientConfig{URL: "http://" + addr(0) + "/status/format/json",
		FreshConnections: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	poller, err := vts.NewPoller(s.client, vts.PollerConfig{Interval: interval / 4})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = poller.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	s.reader = poller.Reader()
	s.applier = &nginx.Applier{Config: s.Config, StateDir: filepath.Join(dir, "state"), Binary: s.Binary, Prefix: s.Dir,
		PIDFile: s.PIDFile(),
		Status:  s.status, Origin: s.client.Origin}
	return s
}

func (s *stage) status(ctx context.Context) (nginx.Status, error) {
	page, err := s.client.Status(ctx)
	if err != nil {
		return nginx.Status{}, err
	}
	out := nginx.Status{LoadMsec: page.LoadMsec, Upstreams: map[string][]nginx.PeerStatus{}}
	for _, u := range page.Upstreams {
		for _, p := range u.Peers {
			out.Upstreams[u.Name] = append(out.Upstreams[u.Name], nginx.PeerStatus{Server: p.Server, Weight: p.Weight,
				Down: p.Down, Backup: p.Backup})
		}
	}
	return out, nil
}

// sample waits out an interval and returns what happened in it.
func (s *stage) sample() vts.GroupSample {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTimer(interval)
	defer tick.Stop()
	<-tick.C
	got, err := s.reader.Sample(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(got.Groups) != 1 || got.Groups[0].Name != "web" {
		s.t.Fatalf("got %+v, want one group", got.Groups)
	}
	return got.Groups[0]
}

// within looks at up to n samples until one holds what is wanted.
func (s *stage) within(n int, what string, holds func(vts.GroupSample) bool) {
	s.t.Helper()
	var last vts.GroupSample
	for range n {
		if last = s.sample(); holds(last) {
			return
		}
	}
	s.t.Fatalf("%s: not within %d samples; last %+v", what, n, last.Peers)
}

// operator has the servers written into the configuration and loaded.
func (s *stage) operator(servers ...string) {
	s.t.Helper()
	if err := os.WriteFile(s.Config, []byte(s.conf(servers...)), 0o644); err != nil {
		s.t.Fatal(err)
	}
	before := workersOf(s.PID)
	if err := syscall.Kill(s.PID, syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); ; {
		if now := workersOf(s.PID); now != "" && now != before && !strings.HasPrefix(now, before+" ") {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatal("NGINX did not load the operator's configuration within 20 s")
		}
	}
}

// What servers do to the pages of modules of several ages, and what is made of it: they fail, heal, are removed and
// come back.
func TestSeriesOnARealNGINX(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds per module")
	}
	for _, v := range Versions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			s := newStage(t, v)
			healthy, bad := Healthy(20*time.Millisecond), s.servers[1]
			own := func(g vts.GroupSample) float64 { // share of the bad server's requests that are its own fault
				for i, p := range g.Peers {
					if p.Server == bad && p.Requests > 0 {
						return g.Excess()[i].ClientErrors / float64(p.Requests)
					}
				}
				return 0
			}
			s.within(3, "three servers alike", func(g vts.GroupSample) bool {
				return len(g.Peers) == 3 && g.Requests() > 100 && own(g) == 0
			})
			for _, c := range []struct {
				name  string
				does  Behaviour
				share float64
				hangs bool
			}{
				{"it hangs and clients give up", Hanging(300 * time.Millisecond), 1, true},
				{"half of its answers do not come", Sometimes(0.5, Hanging(300*time.Millisecond), healthy), 0.5, true},
				{"it sheds load", Shedding(), 1, false},
			} {
				s.world.Behave(bad, c.does)
				s.within(5, c.name, func(g vts.GroupSample) bool {
					e := g.Excess()[1]
					return math.Abs(own(g)-c.share) < 0.2 && (e.Unanswered > 0) == c.hangs &&
						own(vts.GroupSample{Peers: g.Peers[:1]}) == 0
				})
				s.world.Behave(bad, healthy)
				s.within(5, c.name+": healed", func(g vts.GroupSample) bool { return own(g) == 0 && g.Peers[1].Known })
			}

			s.operator(s.servers[0], s.servers[2])
			s.within(5, "a server was removed", func(g vts.GroupSample) bool {
				return len(g.Peers) == 2 && g.Peers[1].Server == s.servers[2]
			})
			// One that the page may go on listing stands in nobody's way.
			r, err := s.applier.Apply(t.Context(),
				nginx.Settings{"web": {s.servers[0]: {Weight: 3}, s.servers[2]: {Weight: 2}}})
			if err != nil || !r.Reloaded {
				t.Fatalf("got %+v, %v, want the change of the two that are left", r, err)
			}
			s.within(5, "the new weights", func(g vts.GroupSample) bool {
				return g.Peers[0].Weight == 3 && g.Peers[1].Weight == 2
			})

			s.operator(s.servers...)
			s.within(5, "it came back", func(g vts.GroupSample) bool {
				return len(g.Peers) == 3 && g.Peers[1].Known && own(g) == 0 && g.Peers[1].Requests < 300
			})
		})
	}
}
