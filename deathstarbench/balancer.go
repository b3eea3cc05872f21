package deathstarbench

import (
	"fmt"
	"time"
)

// Balancer is one of several NGINX in front of the same servers. Each has balancing state, statistics and weights of
// its own, and sees its own part of the load only.
type Balancer struct {
	Name string `toml:"name"`
	// Share of every load that comes through it, in any unit; 0 means as much as each other one that names none.
	Share float64 `toml:"share"`
	// TelemetryDelay is how long what it saw takes to those who share it, and what they decide back to it.
	TelemetryDelay Duration `toml:"telemetry_delay"`
	// JoinsAt is when the others begin to know it; it serves from the start.
	JoinsAt Duration `toml:"joins_at"`
	// Partitions are times in which it is cut off from the other balancers. Clients and servers still reach it.
	Partitions []Partition `toml:"partitions"`
}

// Partition is a time in which nothing passes between a balancer and the others.
type Partition struct {
	At    Duration `toml:"at"`    // from the start of the run
	Until Duration `toml:"until"` // 0 means to the end
}

// Linked reports whether the balancer reaches the others at the offset t.
func (b *Balancer) Linked(t time.Duration) bool {
	if t < b.JoinsAt.Std() {
		return false
	}
	for _, p := range b.Partitions {
		if t >= p.At.Std() && t < p.Until.Std() {
			return false
		}
	}
	return true
}

// mostBalancers bounds the work of a run.
const mostBalancers = 64

func (s *Scenario) completeBalancers() {
	for i := range s.Balancers {
		b := &s.Balancers[i]
		if b.Share == 0 {
			b.Share = 1
		}
		for j := range b.Partitions {
			if b.Partitions[j].Until == 0 {
				b.Partitions[j].Until = s.Duration
			}
		}
	}
}

func (s *Scenario) checkBalancers(c *checker) {
	seen := map[string]bool{}
	c.want(len(s.Balancers) <= mostBalancers, "balancer", "%d: want at most %d", len(s.Balancers), mostBalancers)
	for i := range s.Balancers {
		b := &s.Balancers[i]
		at := fmt.Sprintf("balancer[%d].", i)
		checkName(c, at+"name", "balancer", b.Name, seen)
		c.want(b.Share > 0, at+"share", "%g: want more than 0", b.Share)
		c.want(b.TelemetryDelay >= 0, at+"telemetry_delay", "%s: want at least 0", b.TelemetryDelay.Std())
		c.want(b.JoinsAt >= 0, at+"joins_at", "%s: want at least 0", b.JoinsAt.Std())
		for j, p := range b.Partitions {
			where := fmt.Sprintf("%spartitions[%d]", at, j)
			c.want(p.At >= 0, where+".at", "%s: want at least 0", p.At.Std())
			c.want(p.Until > p.At, where+".until", "%s: want more than at = %s", p.Until.Std(), p.At.Std())
		}
	}
}

func (f *formatter) balancer(b *Balancer) {
	f.table("balancer")
	f.text("name", b.Name)
	if b.Share != 1 {
		f.number("share", b.Share)
	}
	f.duration("telemetry_delay", b.TelemetryDelay)
	f.duration("joins_at", b.JoinsAt)
	if len(b.Partitions) > 0 {
		text := ""
		for i, p := range b.Partitions {
			if i > 0 {
				text += ", "
			}
			text += fmt.Sprintf("{ at = %q, until = %q }", p.At.Std(), p.Until.Std())
		}
		f.line("partitions = [%s]", text)
	}
}
