package bus

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

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
