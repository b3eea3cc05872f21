package bus

import (
	"net"
	"net/url"
	"sync"
	"testing"
	"trimtab/fleet"
)

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
