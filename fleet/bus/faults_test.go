package bus

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"trimtab/fleet"
	"trimtab/vts"
	"trimtab/weights"
)

func TestCentreIsKilledAndComesBack(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two")
	b.want(ratio(3, 1))
	p := b.process()
	one, two := b.node("one"), b.node("two")
	follow := func(w weights.Set) func() bool {
		return func() bool { return one.inForce.Equal(w) && two.inForce.Equal(w) }
	}
	b.until("both follow", follow(ratio(3, 1)), one, two)
	before := one.policy.Status()
	p.kill()
	b.until("the nodes notice", func() bool { return one.policy.Status().Mode != fleet.Led }, one, two)
	if !one.inForce.Equal(ratio(3, 1)) {
		t.Errorf("cut off, the node has %v in force, want the last plan", one.inForce)
	}
	acknowledged, _, _ := one.link.Counts()
	b.want(ratio(1, 4))
	p.start()
	b.until("both follow the new plan", follow(ratio(1, 4)), one, two)
	if after := one.policy.Status(); after.Epoch <= before.Epoch {
		t.Errorf("epoch %d after %d, want a higher one", after.Epoch, before.Epoch)
	}
	if stored := b.stored("one"); stored < acknowledged {
		t.Errorf("%d samples stored, want at least the %d that were acknowledged before the centre was killed", stored,
			acknowledged)
	}
}

// stored is how many samples of a node the stream holds.
func (b *bed) stored(node string) uint64 {
	b.t.Helper()
	nc, js := b.jetStream()
	defer nc.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, samplesStream)
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(samplePrefix+node))
	if err != nil {
		b.t.Fatal(err)
	}
	return info.State.Subjects[samplePrefix+node]
}

func (b *bed) jetStream() (*nats.Conn, jetstream.JetStream) {
	b.t.Helper()
	nc, err := dial([]string{b.url}, b.identity("centre"), b.log)
	if err != nil {
		b.t.Fatal(err)
	}
	waitFor(b.t, "connection", nc.IsConnected)
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return nc, js
}

func TestDiskOfTheCentreIsFull(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two")
	small := filepath.Join(b.dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small).CombinedOutput(); err != nil {
		t.Skipf("no small disk can be made here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", small).Run() })
	b.want(ratio(3, 1))
	p := b.process(func(c *childConfig) { c.Store = filepath.Join(small, "store") })
	one, two := b.node("one"), b.node("two")
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) && two.inForce.Equal(ratio(3, 1)) }, one,
		two)
	fill := filepath.Join(small, "fill")
	if err := os.WriteFile(fill, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	full := func() { // what is left, to the last byte
		f, err := os.OpenFile(fill, os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return
		}
		defer f.Close()
		for size := 1 << 20; size > 0; {
			if _, err := f.Write(make([]byte, size)); err != nil {
				size /= 2
			}
		}
	}
	b.until("the store fails", func() bool {
		full()
		log, err := os.ReadFile(p.log)
		return err == nil && strings.Contains(string(log), "the store does not answer")
	}, one, two)
	b.want(ratio(1, 4))
	b.until("both follow a plan that could not be stored", func() bool {
		full()
		return one.inForce.Equal(ratio(1, 4)) && two.inForce.Equal(ratio(1, 4))
	}, one, two)
	if _, waiting, _ := one.link.Counts(); waiting > MostWaiting {
		t.Errorf("%d samples wait, want at most %d", waiting, MostWaiting)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	sent, _, _ := one.link.Counts()
	b.until("samples are stored again", func() bool { now, _, _ := one.link.Counts(); return now > sent+5 }, one, two)
	b.want(ratio(2, 1))
	b.until("both follow again", func() bool {
		return one.inForce.Equal(ratio(2, 1)) && two.inForce.Equal(ratio(2, 1))
	}, one, two)
}

func TestSlowConsumerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two")
	b.want(ratio(3, 1))
	b.process()
	one, two := b.node("one"), b.node("two")
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) }, one, two)
	slow := b.deaf()
	defer slow.Close()
	nc, _ := b.jetStream()
	defer nc.Close()
	big := make([]byte, 1<<20)
	for range 80 { // more than the server keeps for a client, and the kernel
		if err := nc.Publish("test.noise", big); err != nil {
			t.Fatal(err)
		}
	}
	b.want(ratio(1, 4))
	b.until("both follow the new plan", func() bool {
		return one.inForce.Equal(ratio(1, 4)) && two.inForce.Equal(ratio(1, 4))
	}, one, two)
	_ = slow.SetReadDeadline(time.Now().Add(60 * time.Second))
	if _, err := io.Copy(io.Discard, slow); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("the slow client was not cut off: %v", err)
	}
}

// deaf is a client that subscribes to everything and reads nothing.
func (b *bed) deaf() net.Conn {
	b.t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	raw, err := net.Dial("tcp", u.Host)
	if err != nil {
		b.t.Fatal(err)
	}
	one := make([]byte, 1)
	for one[0] != '\n' { // INFO
		if _, err := raw.Read(one); err != nil {
			b.t.Fatal(err)
		}
	}
	cfg, err := b.identity("centre").TLS()
	if err != nil {
		b.t.Fatal(err)
	}
	cfg.ServerName = "127.0.0.1"
	c := tls.Client(raw, cfg)
	if _, err := io.WriteString(c, "CONNECT {\"verbose\":false}\r\nSUB test.noise 1\r\nPING\r\n"); err != nil {
		b.t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	for text := ""; !strings.Contains(text, "PONG"); {
		n, err := c.Read(buffer)
		if err != nil {
			b.t.Fatal(err)
		}
		text += string(buffer[:n])
	}
	return c
}

func TestLeaderOfAClusterOfThreeIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers that elect leaders take a while")
	}
	t.Parallel()
	b := newBed(t, "one", "two")
	b.want(ratio(3, 1))
	var addresses [3]string
	for i := range addresses {
		addresses[i] = address(t)
	}
	var centres []*process
	var urls []string
	for i := range 3 {
		centres = append(centres, b.process(func(c *childConfig) {
			c.Name, c.Cluster, c.Replicas = fmt.Sprintf("centre-%d", i+1), addresses[i], 3
			c.Store = filepath.Join(b.dir, c.Name)
			for j, a := range addresses {
				if j != i {
					c.Routes = append(c.Routes, "nats-route://"+a)
				}
			}
		}))
		urls = append(urls, centres[i].url)
	}
	all := func(c *LinkConfig, _ *node) { c.Servers = urls }
	one, two := b.node("one", all), b.node("two", all)
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) && two.inForce.Equal(ratio(3, 1)) }, one,
		two)
	var st Status
	b.until("the centre says where the fleet stands", func() bool { st = b.status(urls...); return st.Planning }, one,
		two)
	i := slices.IndexFunc(centres, func(p *process) bool { return p.cfg.Name == st.Centre })
	if i < 0 {
		t.Fatalf("got the centre %q, want one of three", st.Centre)
	}
	centres[i].kill()
	b.want(ratio(1, 4))
	b.until("both follow the plan of another centre", func() bool {
		return one.inForce.Equal(ratio(1, 4)) && two.inForce.Equal(ratio(1, 4))
	}, one, two)
	var after Status
	b.until("the other centre says where the fleet stands", func() bool {
		after = b.status(urls...)
		return after.Centre != st.Centre && after.Planning
	}, one, two)
	if after.Epoch <= st.Epoch {
		t.Errorf("got centre %s, epoch %d after %s, %d: want another one with a higher epoch", after.Centre,
			after.Epoch, st.Centre, st.Epoch)
	}
}

// gate stands between nodes and a centre; shut, nothing passes, and nobody is told.
type gate struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	shut     bool
	conns    []net.Conn
	all      sync.WaitGroup
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{to: u.Host}
	if g.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	g.all.Go(func() {
		for {
			c, err := g.listener.Accept()
			if err != nil {
				return
			}
			g.all.Go(func() { g.pass(c) })
		}
	})
	t.Cleanup(func() {
		g.listener.Close()
		g.cut()
		g.all.Wait()
	})
	return g
}

func (g *gate) url() string { return "tls://" + g.listener.Addr().String() }

func (g *gate) pass(c net.Conn) {
	up, err := net.Dial("tcp", g.to)
	if err != nil {
		c.Close()
		return
	}
	g.mu.Lock()
	g.conns = append(g.conns, c, up)
	g.mu.Unlock()
	g.all.Go(func() { g.copy(up, c) })
	g.copy(c, up)
}

func (g *gate) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		g.mu.Lock()
		shut := g.shut
		g.mu.Unlock()
		if shut { // swallowed, as by a network that is gone
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	g.shut = shut
	g.mu.Unlock()
	if !shut {
		g.cut() // what is half gone cannot go on
	}
}

func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
}

func TestPartitionBetweenANodeAndTheCentre(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two")
	b.want(ratio(3, 1))
	p := b.process()
	g := newGate(t, p.url)
	one, two := b.node("one"), b.node("two", func(c *LinkConfig, _ *node) { c.Servers = []string{g.url()} })
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) && two.inForce.Equal(ratio(3, 1)) }, one,
		two)
	g.set(true)
	b.until("the node is cut off", func() bool { return two.policy.Status().Mode != fleet.Led }, one, two)
	b.want(ratio(9, 1))
	b.until("the other one follows a plan", func() bool { return one.inForce.Equal(ratio(9, 1)) }, one, two)
	b.want(ratio(1, 4))
	b.until("and the next", func() bool { return one.inForce.Equal(ratio(1, 4)) }, one, two)
	if !two.inForce.Equal(ratio(3, 1)) {
		t.Errorf("cut off, the node has %v in force, want the last plan", two.inForce)
	}
	for range 2 * MostWaiting { // days
		two.step()
	}
	if _, waiting, _ := two.link.Counts(); waiting > MostWaiting {
		t.Errorf("%d samples wait, want at most %d", waiting, MostWaiting)
	}
	g.set(false)
	old := false
	b.until("the node follows the last plan", func() bool {
		old = old || two.inForce.Equal(ratio(9, 1))
		return two.inForce.Equal(ratio(1, 4))
	}, one, two)
	if old {
		t.Error("a plan of the time of the partition was applied after it")
	}
	b.until("the backlog is gone", func() bool { _, waiting, _ := two.link.Counts(); return waiting <= 2 }, one, two)
}

func TestDuplicatedAndReorderedMessages(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two")
	b.process()
	one, two := b.node("one"), b.node("two")
	b.until("the load of both is known", func() bool {
		st := b.status()
		return st.requests() > 900 && st.requests() < 1100
	}, one, two)
	nc, js := b.jetStream()
	defer nc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, samplesStream)
	if err != nil {
		t.Fatal(err)
	}
	last, err := stream.GetLastMsgForSubject(ctx, samplePrefix+"one")
	if err != nil {
		t.Fatal(err)
	}
	for seq := last.Sequence; seq > 0 && seq+12 > last.Sequence; seq-- { // the newest first, under ids that nobody used
		m, err := stream.GetMsg(ctx, seq)
		if err != nil {
			continue
		}
		if _, err := js.Publish(ctx, m.Subject, m.Data, jetstream.WithMsgID(fmt.Sprint("again-", seq))); err != nil {
			t.Fatal(err)
		}
	}
	b.until("the copies are quarantined", func() bool {
		st := b.status()
		return slices.ContainsFunc(st.Faults, func(f FaultLine) bool { return f.Reason == fleet.Replayed })
	}, one, two)
	if st := b.status(); st.requests() > 1100 || st.requests() < 900 {
		t.Errorf("got %.0f requests per second, want those of two nodes, about 1000", st.requests())
	}
}

func TestClocksThatAreAnHourOff(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two", "ahead", "behind")
	b.want(ratio(3, 1))
	b.process()
	one, two := b.node("one"), b.node("two")
	ahead := b.node("ahead", func(_ *LinkConfig, n *node) { n.skew = time.Hour })
	behind := b.node("behind", func(_ *LinkConfig, n *node) { n.skew = -time.Hour })
	b.until("both others follow", func() bool {
		return one.inForce.Equal(ratio(3, 1)) && two.inForce.Equal(ratio(3, 1))
	}, one, two, ahead, behind)
	b.until("the future is quarantined", func() bool {
		st := b.status()
		return slices.ContainsFunc(st.Faults, func(f FaultLine) bool {
			return f.Node == "ahead" && f.Reason == fleet.FutureDated
		})
	}, one, two, ahead, behind)
	b.until("both say that they refuse plans", func() bool {
		return strings.Contains(ahead.policy.Status().Refused, "too old") &&
			strings.Contains(behind.policy.Status().Refused, "clocks differ")
	}, one, two, ahead, behind)
	for _, n := range []*node{ahead, behind} {
		if got := n.policy.Status().Mode; got != fleet.Alone {
			t.Errorf("got mode %s with a wrong clock, want %s", got, fleet.Alone)
		}
	}
	if st := b.status(); st.requests() > 1100 {
		t.Errorf("got %.0f requests per second, want those of the two nodes whose clocks are right", st.requests())
	}
}

func TestPoisonedStatusPage(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two", "three", "bad")
	b.process()
	var honest []*node
	for _, name := range []string{"one", "two", "three"} {
		honest = append(honest, b.node(name))
	}
	bad := b.node("bad", func(_ *LinkConfig, n *node) {
		n.change = func(s *vts.Sample) { // server a is said to take fifty times as long as all others see
			p := &s.Groups[0].Peers[0]
			p.ResponseMsec *= 50
			p.RequestMsec *= 50
		}
	})
	everybody := append(slices.Clone(honest), bad)
	b.until("the node is left out, with a reason", func() bool {
		st := b.status()
		n := st.node("bad")
		return n.LeftOut && n.Fault != nil && n.Fault.Reason == fleet.Contradicting && strings.Contains(n.Fault.Detail,
			"others in 20 ms")
	}, everybody...)
	bad.change = func(s *vts.Sample) { s.Groups[0].Peers[0].Requests += 5 } // more requests than answers
	b.until("what cannot be is quarantined", func() bool {
		st := b.status()
		return slices.ContainsFunc(st.Faults, func(f FaultLine) bool {
			return f.Node == "bad" && f.Reason == fleet.Impossible
		})
	}, everybody...)
	if st := b.status(); st.node("one").Quarantined != 0 {
		t.Errorf("%d samples of an honest node were quarantined", st.node("one").Quarantined)
	}
}

func TestTwoNodesWithTheSameName(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "twin")
	b.want(ratio(3, 1))
	b.process()
	one, first := b.node("one"), b.node("twin")
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) && first.inForce.Equal(ratio(3, 1)) },
		one, first)
	second := b.node("twin")
	b.until("the name is quarantined", func() bool {
		st := b.status()
		return slices.ContainsFunc(st.Faults, func(f FaultLine) bool {
			return f.Node == "twin" && f.Reason == fleet.SameName
		})
	}, one, first, second)
	b.want(ratio(1, 4))
	b.until("the other node goes on", func() bool { return one.inForce.Equal(ratio(1, 4)) }, one, first, second)
}

func TestRevokedCredentials(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "gone")
	b.want(ratio(3, 1))
	b.process()
	one, gone := b.node("one"), b.node("gone")
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) && gone.inForce.Equal(ratio(3, 1)) },
		one, gone)
	if err := b.keys.Revoke("gone"); err != nil {
		t.Fatal(err)
	}
	b.until("the node is cut off and goes on", func() bool {
		return !gone.link.Attached() && gone.policy.Status().Mode != fleet.Led
	}, one, gone)
	b.want(ratio(1, 4))
	b.until("the other one follows", func() bool { return one.inForce.Equal(ratio(1, 4)) }, one, gone)
	if !gone.inForce.Equal(ratio(3, 1)) {
		t.Errorf("the node whose certificate was revoked has %v in force, want the last plan that it was told",
			gone.inForce)
	}
}

func TestNodeOfThePreviousVersion(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "old", "new")
	b.want(ratio(3, 1))
	b.process()
	one := b.node("one")
	old := b.node("old", func(c *LinkConfig, _ *node) { c.Schema = 1 })
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) && old.inForce.Equal(ratio(3, 1)) }, one,
		old)
	b.until("the load of both is known", func() bool {
		st := b.status()
		return st.requests() > 900 && st.requests() < 1100
	}, one, old)
	// One of a version that is still to come is not understood, and disturbs nobody.
	id := b.identity("new")
	nc, err := dial([]string{b.url}, id, b.log)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	waitFor(t, "connection", nc.IsConnected)
	s := fleet.NewSample("new", "boot", 1, vts.Sample{At: time.Now(), Interval: tick})
	s.Schema = fleet.Schema + 1
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish(samplePrefix+"new", text); err != nil {
		t.Fatal(err)
	}
	b.until("it is refused with a reason", func() bool {
		st := b.status()
		return slices.ContainsFunc(st.Faults, func(f FaultLine) bool {
			return f.Node == "new" && f.Reason == fleet.Unreadable && strings.Contains(f.Detail, "version")
		})
	}, one, old)
}
