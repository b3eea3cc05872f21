package fleet

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// CentreConfig parameterises a Centre. The zero value of a field means its default.
type CentreConfig struct {
	// Policy observes the load of all nodes as one, and chooses for all.
	Policy control.Policy
	// Interval is how often Step is called; default 3 s.
	Interval time.Duration
	// Epoch is higher than that of every centre before.
	Epoch uint64
	// Last is the plan of the centre before: its weights stay until there are better ones. Empty: there was none.
	Last  Plan
	Audit AuditConfig
	// Carry is how long the last sample of a node stands in for those that are missing; default 20 s. Its load is still
	// there.
	Carry time.Duration
	// Forget is how long a node is known that is not heard; default 1 h.
	Forget  time.Duration
	Rollout RolloutConfig
	// Version of the last student that was made, and Stable of the last one that all nodes may hold.
	Version, Stable uint64
}

func (c CentreConfig) withDefaults() CentreConfig {
	if c.Interval == 0 {
		c.Interval = 3 * time.Second
	}
	if c.Carry == 0 {
		c.Carry = 20 * time.Second
	}
	if c.Forget == 0 {
		c.Forget = time.Hour
	}
	return c
}

// node is what a centre knows of one of them.
type node struct {
	hello       Hello
	last        *Sample
	fresh       *Sample // heard since the last step
	heard       time.Time
	ratePerSec  float64
	quarantined uint64 // samples
	lastFault   *Quarantine
	accepted    uint64
}

// Centre sees what all nodes see and plans for all. It is used by one goroutine.
type Centre struct {
	cfg     CentreConfig
	policy  control.Policy
	audit   *Auditor
	nodes   map[string]*node
	plan    Plan // that stands
	pending *pending
	reason  string
	faults  []Quarantine // of late, the newest last
	blended blend
	rollout *Rollout
	teach   teaching
	version uint64 // of the last student
	student *Student
	last    vts.Sample
}

// pending is a decision that has been sent, and that not enough nodes follow yet.
type pending struct {
	want  weights.Set
	since time.Time
}

// mostFaults is how many quarantines are kept to be shown.
const mostFaults = 64

// NewCentre returns a centre that knows no node.
func NewCentre(cfg CentreConfig) (*Centre, error) {
	if cfg.Policy == nil {
		return nil, errors.New("configure centre: want a policy")
	}
	if cfg.Interval < 0 || cfg.Carry < 0 || cfg.Forget < 0 {
		return nil, errors.New("configure centre: want no negative times")
	}
	cfg = cfg.withDefaults()
	return &Centre{cfg: cfg, policy: cfg.Policy, audit: NewAuditor(cfg.Audit), nodes: map[string]*node{},
		plan: Plan{Schema: Schema, Epoch: cfg.Epoch, Seq: cfg.Last.Seq, Weights: cfg.Last.Weights.Clone(),
			Reason: cfg.Last.Reason}, rollout: NewRollout(cfg.Rollout, cfg.Stable),
		version: max(cfg.Version, cfg.Stable)}, nil
}

// Meet takes note of what a node says of itself.
func (c *Centre) Meet(h Hello) {
	if n := c.node(h.Node); n != nil {
		n.hello = h
	}
}

func (c *Centre) node(name string) *node {
	n := c.nodes[name]
	if n == nil && len(c.nodes) < MostNodes {
		n = &node{}
		c.nodes[name] = n
	}
	return n
}

// Receive takes a sample of a node in, at any time. A sample that is not believed is the error, a *Quarantine, and has
// no effect.
func (c *Centre) Receive(s Sample, now time.Time) *Quarantine {
	q := c.audit.Judge(&s, now)
	if q != nil {
		c.blame(q)
		return q
	}
	n := c.node(s.Node)
	if n == nil {
		return &Quarantine{Node: s.Node, At: now, Reason: Impossible, Detail: "too many nodes"}
	}
	n.accepted++
	n.heard, n.last = now, &s
	n.fresh = joined(n.fresh, &s)
	return nil
}

// Had reports whether the sample, or a later one of the same process, was taken in.
func (c *Centre) Had(s *Sample) bool { return c.audit.had(s) }

// Refuse takes note of a message of a node that could not even be read.
func (c *Centre) Refuse(node string, err error, now time.Time) {
	c.blame(&Quarantine{Node: node, At: now, Reason: Unreadable, Detail: err.Error()})
}

func (c *Centre) blame(q *Quarantine) {
	if n := c.nodes[q.Node]; n != nil {
		n.quarantined++
		n.lastFault = q
	}
	c.faults = append(c.faults, *q)
	if len(c.faults) > mostFaults {
		c.faults = slices.Delete(c.faults, 0, len(c.faults)-mostFaults)
	}
}

// Step ends an interval: what was heard in it becomes one sample of the whole load, which the policy observes. It
// returns the plans that nodes are to have now: one for all, and one for each node that has limits of its own.
func (c *Centre) Step(now time.Time) []Plan {
	parts := c.parts(now)
	if len(parts) > 0 {
		sample, wrong := Sum(parts, now, c.cfg.Interval)
		for _, w := range wrong {
			if q := c.audit.contradict(w.Node, w.What, now); q != nil {
				c.blame(q)
			}
		}
		c.last = sample
		c.confirm(parts, now) // first: what is in force and not committed would be somebody else's edit
		c.policy.Observe(sample, c.inForce(parts))
		c.decide(now)
		c.rollout.Step(costs(parts), c.cfg.Interval)
		c.learn(&sample)
	} else {
		c.reason = "no node is heard"
	}
	return c.plans(now)
}

// parts are what each node adds. Whoever is not heard counts with what it said last: its load is still there.
func (c *Centre) parts(now time.Time) (out []Part) {
	for _, name := range sortedKeys(c.nodes) {
		n := c.nodes[name]
		if n.last == nil {
			continue
		}
		silent := now.Sub(n.heard)
		if silent > c.cfg.Forget {
			delete(c.nodes, name)
			c.audit.forget(name)
			continue
		}
		s := n.fresh
		if s == nil {
			s = n.last
		}
		n.fresh = nil
		n.ratePerSec = 0
		if silent > max(c.cfg.Carry, 3*s.Span()) || c.audit.rests(name, now) {
			continue
		}
		scale := c.cfg.Interval.Seconds() / s.Span().Seconds()
		for i := range s.Groups {
			for _, r := range s.Groups[i].Requests {
				n.ratePerSec += float64(r) / s.Span().Seconds()
			}
		}
		out = append(out, Part{Node: name, Sample: s, Scale: scale})
	}
	return out
}

func (c *Centre) decide(now time.Time) {
	d := c.policy.Choose()
	c.reason = d.Reason
	if len(d.Weights) == 0 || c.pending != nil {
		return
	}
	c.plan.Seq++
	c.plan.Reason = d.Reason
	c.plan.Weights = c.plan.Weights.Clone()
	maps.Copy(c.plan.Weights, d.Weights.Clone())
	c.pending = &pending{want: d.Weights.Clone(), since: now}
}

// failureCost is how many times a good answer a failed one costs, in the comparison of students.
const failureCost = 10

// costs are what answers cost each node on average, in ms.
func costs(parts []Part) map[string]float64 {
	out := make(map[string]float64, len(parts))
	for i := range parts {
		n, fails, ms := 0.0, 0.0, 0.0
		for j := range parts[i].Sample.Groups {
			g := &parts[i].Sample.Groups[j]
			for k := range g.Servers {
				n += float64(g.Requests[k])
				fails += float64(g.Responses[k].Errors())
				ms += float64(g.ResponseMS[k])
			}
		}
		if n >= enough {
			mean := ms / n
			out[parts[i].Node] = math.Max(mean*(1+failureCost*fails/n)+failureCost*fails/n, 1e-3)
		}
	}
	return out
}

// plans are what is sent now.
func (c *Centre) plans(now time.Time) []Plan {
	p := c.plan
	p.IssuedMS, p.Policy, p.RatePerSec = now.UnixMilli(), c.rollout.Stage(), c.Rates()
	var own []Plan
	for _, name := range sortedKeys(c.nodes) {
		n := c.nodes[name]
		old := n.hello.Schema > 0 && n.hello.Schema < Schema
		if len(n.hello.Shares) == 0 && !old {
			continue
		}
		p.Apart = append(p.Apart, name)
		q := p
		q.Node, q.Apart, q.Weights = name, nil, make(weights.Set, len(p.Weights))
		for group, g := range p.Weights {
			q.Weights[group] = within(g, n.hello.Shares[group])
		}
		if old {
			q = q.For(n.hello.Schema)
		}
		own = append(own, q)
	}
	return append([]Plan{p}, own...)
}

// Plan is the plan that stands.
func (c *Centre) Plan() Plan { return c.plan }

// Sample is the load of all nodes in the last interval.
func (c *Centre) Sample() vts.Sample { return c.last }

// Reason is what the policy said last.
func (c *Centre) Reason() string { return c.reason }

// String says where the centre stands in one line.
func (c *Centre) String() string {
	return fmt.Sprintf("plan %s, %d nodes: %s", planName(c.plan.Epoch, c.plan.Seq), len(c.nodes), c.reason)
}

func planName(epoch, seq uint64) string { return fmt.Sprintf("%d.%d", epoch, seq) }
