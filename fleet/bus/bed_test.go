package bus

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/fleet"
	"trimtab/vts"
	"trimtab/weights"
)

// bed is a fleet on this machine: keys, one server and one centre.
type bed struct {
	t    *testing.T
	keys Keys
	dir  string
	url  string
	log  *slog.Logger
}

func newBed(t *testing.T, nodes ...string) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}
	if os.Getenv("TRIMTAB_TEST_LOG") != "" {
		b.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	b.keys = Keys{filepath.Join(b.dir, "keys")}
	if err := b.keys.Init(nil); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if err := b.keys.Issue(n, NodeRole, nil); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *bed) identity(name string) Identity {
	b.t.Helper()
	id, err := b.keys.Identity(name)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// server starts an embedded server in this process.
func (b *bed) server() *Server {
	b.t.Helper()
	s, err := StartServer(ServerConfig{Listen: "127.0.0.1:0", Store: filepath.Join(b.dir, "store"), Keys: b.keys,
		Logger: b.log})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(s.Close)
	b.url = s.URL()
	return s
}

// station runs a centre until the test ends.
func (b *bed) station(p control.Policy, change ...func(*StationConfig)) *running {
	b.t.Helper()
	cfg := StationConfig{Servers: []string{b.url}, Identity: b.identity("centre"), Interval: tick, Logger: b.log,
		NewPolicy: func() (control.Policy, error) { return p, nil }}
	for _, set := range change {
		set(&cfg)
	}
	st, err := NewStation(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return &running{st, b.run(st.Run)}
}

// running is a centre that runs until the test ends or stop is called.
type running struct {
	*Station
	stop func()
}

// tick is the interval of centres and nodes in tests.
const tick = 200 * time.Millisecond

// run runs f until the test ends, or stop is called.
func (b *bed) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := f(ctx); err != nil {
			b.t.Errorf("run: %v", err)
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); done.Wait() }) }
	b.t.Cleanup(stop)
	return stop
}

// node is a daemon without NGINX: it reports counts that are made up and applies what it decides.
type node struct {
	link    *Link
	policy  *fleet.Node
	inForce weights.Set
	stop    func()
	change  func(*vts.Sample) // what is wrong with its status page
	skew    time.Duration     // of its clock
}

func (b *bed) node(name string, o ...func(*LinkConfig, *node)) *node {
	b.t.Helper()
	n := &node{inForce: even("a", "b")}
	cfg := LinkConfig{Servers: []string{b.url}, Identity: b.identity(name), Version: "test", Logger: b.log}
	for _, set := range o {
		set(&cfg, n)
	}
	cfg.Clock = func() time.Time { return time.Now().Add(n.skew) }
	var err error
	if n.link, err = NewLink(cfg); err != nil {
		b.t.Fatal(err)
	}
	n.policy, err = fleet.NewNode(fleet.NodeConfig{Name: name, Local: &still{}, Link: n.link, Patience: 2 * time.Second,
		Clock: cfg.Clock})
	if err != nil {
		b.t.Fatal(err)
	}
	n.stop = b.run(n.link.Run)
	return n
}

func even(servers ...string) weights.Set {
	g := weights.Group{}
	for _, s := range servers {
		g[s] = weights.Setting{}
	}
	return weights.Set{"u": g}
}

// step is one interval of the node.
func (n *node) step() {
	now := time.Now().Add(n.skew)
	s := vts.Sample{At: now, Interval: tick, Groups: []vts.GroupSample{{Name: "u"}}}
	shares := n.inForce["u"].Shares()
	for _, server := range []string{"a", "b"} {
		requests := uint64(100 * shares[server])
		s.Groups[0].Peers = append(s.Groups[0].Peers, vts.PeerSample{Server: server,
			Weight: n.inForce["u"][server].Weight.Int(), Known: true,
			Requests: requests, Responses: vts.Responses{1: requests}, RequestMsec: 20 * requests, ResponseMsec: 20 *
				requests})
	}
	if n.change != nil {
		n.change(&s)
	}
	n.policy.Observe(s, n.inForce)
	if d := n.policy.Choose(); len(d.Weights) > 0 {
		for name, g := range d.Weights {
			n.inForce[name] = g
		}
		n.policy.Committed(control.Receipt{Want: d.Weights, Changed: true, At: now})
	}
}

// until steps all nodes, once per tick, until the condition holds.
func (b *bed) until(what string, ok func() bool, nodes ...*node) {
	b.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	beat := time.NewTicker(tick)
	defer beat.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			b.t.Fatalf("not within two minutes: %s", what)
		}
		<-beat.C
		for _, n := range nodes {
			n.step()
		}
	}
}

// still is a policy that wants nothing.
type still struct{ control.Fixed }

func (*still) Observe(vts.Sample, weights.Set) {}

// fixed is a central policy that wants the given settings, and notes what it saw.
type fixed struct {
	mu   sync.Mutex
	want weights.Set
	seen vts.Sample
	in   weights.Set
	n    int
	done int // commitments
}

func (f *fixed) Observe(s vts.Sample, in weights.Set) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.in = s, in
	f.n++
}

func (f *fixed) Choose() control.Decision {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := weights.Set{}
	for name, g := range f.want {
		if !g.Equal(f.in[name]) {
			out[name] = g
		}
	}
	return control.Decision{Weights: out, Reason: "test"}
}

func (f *fixed) Committed(control.Receipt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done++
}

func (f *fixed) set(want weights.Set) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.want = want
}

func (f *fixed) saw() vts.Sample {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

func ratio(a, b int) weights.Set {
	return weights.Set{"u": {"a": {Weight: weights.Clamp(a)}, "b": {Weight: weights.Clamp(b)}}}
}
