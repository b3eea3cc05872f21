package fleet

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// Link is how a node speaks to its fleet. It never blocks.
type Link interface {
	// Send reports a sample. What cannot be sent now is sent later, or dropped when it has become old.
	Send(Sample)
	// Heard is the last plan that came for the node, and when it came by the node's own clock, which runs on when the
	// clock on the wall is set; ok is false while none has come.
	Heard() (p Plan, at time.Time, ok bool)
	// Student is the student of that version; nil: it has not come yet.
	Student(version uint64) *Student
	// Boot tells this process from others of the same name, and Next numbers its samples, from 1.
	Boot() string
	Next() uint64
}

// NodeConfig parameterises a Node. The zero value of a field means its default.
type NodeConfig struct {
	Name   string
	Local  control.Policy // what the node would do alone, and does while it is
	Link   Link
	Limits Limits
	// Patience is for how long after the last plan the node still counts as led; default 15 s.
	Patience time.Duration
	// Clock is the clock on the wall; nil: time.Now.
	Clock func() time.Time
}

// Mode is by what a node decides.
type Mode string

// The modes.
const (
	Led   Mode = "led"     // the centre's plan
	Trial Mode = "trial"   // a student that is on trial here
	Pupil Mode = "student" // cut off: by the student that it holds
	Alone Mode = "alone"   // cut off: by itself
)

// Node is the policy of a node of a fleet: the centre's plan while it is heard, the student that the centre has taught
// while it is not, and what the node would do alone where there is neither. Its own guard goes before all: a server
// that fails here gets next to nothing.
type Node struct {
	cfg   NodeConfig
	epoch uint64 // of the last plan that was taken
	plan  uint64
	want  weights.Set // of that plan, of the groups that are tuned here
	held  *Student
	share float64 // of the fleet's load that comes through this node
	fails map[[2]string]failing
	guard guard

	decision control.Decision

	mu     sync.Mutex
	status NodeStatus
}

// NodeStatus is where a node stands, for others to see.
type NodeStatus struct {
	Mode    Mode      `json:"mode"`
	Epoch   uint64    `json:"epoch"`
	Plan    uint64    `json:"plan"`
	Policy  uint64    `json:"policy"` // version of the student that is held; 0: none
	Heard   time.Time `json:"heard"`  // when the centre was heard last
	Refused string    `json:"refused,omitempty"`
	Share   float64   `json:"load_share"`
	Guarded []string  `json:"guarded,omitempty"` // servers that the node's own guard spares
}

// NewNode returns the policy of a node.
func NewNode(cfg NodeConfig) (*Node, error) {
	if err := CheckNodeName(cfg.Name); err != nil {
		return nil, err
	}
	if cfg.Local == nil || cfg.Link == nil {
		return nil, fmt.Errorf("configure node %s: want a policy and a link", cfg.Name)
	}
	if cfg.Patience == 0 {
		cfg.Patience = 15 * time.Second
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Node{cfg: cfg, fails: map[[2]string]failing{}, status: NodeStatus{Mode: Alone}}, nil
}

var _ control.Policy = (*Node)(nil)

// Local is what the node would do alone.
func (n *Node) Local() control.Policy { return n.cfg.Local }

// Status is where the node stands; any goroutine may ask.
func (n *Node) Status() NodeStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}

// Observe implements control.Policy.
func (n *Node) Observe(s vts.Sample, inForce weights.Set) {
	n.cfg.Local.Observe(s, inForce)
	n.watch(&s)
	now := n.cfg.Clock()
	p, at, ok := n.cfg.Link.Heard()
	refused := ""
	led := ok && now.Sub(at) <= n.cfg.Patience && at.Sub(now) <= n.cfg.Patience
	stage := Stage{}
	if led {
		refused = n.take(&p, inForce, now)
		stage = p.Policy
		n.share = loadShare(&s, p.RatePerSec, n.share)
	}
	trial := n.hold(stage, led)
	mode, want, why := n.choose(&s, led && n.epoch > 0, trial)
	if mode == Alone {
		n.decision = n.cfg.Local.Choose()
	} else {
		guarded := n.guarded(want)
		n.guard.observe(&s, mode)
		n.decision = control.Decision{Weights: differing(guarded, inForce), Reason: why}
		if len(n.decision.Weights) == 0 {
			n.decision.Reason = "hold: " + why
		}
	}
	n.tell(mode, at, refused)
	if s.Interval > 0 && len(s.Groups) > 0 {
		out := NewSample(n.cfg.Name, n.cfg.Link.Boot(), n.cfg.Link.Next(), s)
		out.Epoch, out.Plan, out.Refused = n.epoch, n.plan, refused
		if n.held != nil {
			out.Policy = n.held.Version
		}
		n.cfg.Link.Send(out)
	}
}

// take follows a plan that is newer, or says why it does not.
func (n *Node) take(p *Plan, inForce weights.Set, now time.Time) (refused string) {
	if !p.After(n.epoch, n.plan) {
		return ""
	}
	if err := n.cfg.Limits.Check(p, n.cfg.Name, inForce, now); err != nil {
		return err.Error()
	}
	n.epoch, n.plan = p.Epoch, p.Seq
	n.want = weights.Set{}
	for name, g := range p.Weights {
		if inForce[name] != nil {
			n.want[name] = maps.Clone(g)
		}
	}
	return ""
}

// hold takes over the student that the stage names for this node, and reports whether the node is to decide by it.
func (n *Node) hold(stage Stage, led bool) (trial bool) {
	if !led {
		return false
	}
	version, trial := stage.Of(n.cfg.Name)
	if version == 0 {
		return false
	}
	if n.held == nil || n.held.Version != version {
		if s := n.cfg.Link.Student(version); s != nil {
			n.held = s
		}
	}
	return trial && n.held != nil && n.held.Version == version
}

// choose says by what the node decides now.
func (n *Node) choose(s *vts.Sample, led, trial bool) (Mode, weights.Set, string) {
	switch {
	case led && trial:
		return Trial, n.allowed(n.held.Decide(s, n.share)), fmt.Sprintf("fleet: policy %d is on trial here",
			n.held.Version)
	case led:
		n.guard.led()
		return Led, n.want, fmt.Sprintf("fleet: plan %d.%d", n.epoch, n.plan)
	case n.held != nil && n.guard.trusts():
		return Pupil, n.allowed(n.held.Decide(s, n.share)), fmt.Sprintf("fleet: cut off, by policy %d", n.held.Version)
	case len(n.want) > 0 && n.guard.trusts():
		return Pupil, n.want, fmt.Sprintf("fleet: cut off, plan %d.%d stays", n.epoch, n.plan)
	}
	return Alone, nil, ""
}

// allowed is what of a student's wish is within the limits of the node: of groups that are not, what the last plan said
// stays.
func (n *Node) allowed(want weights.Set) weights.Set {
	out := n.want.Clone()
	for name, g := range want {
		if base := n.want[name]; base != nil && n.cfg.Limits.checkGroup(name, g, base) == nil {
			out[name] = maps.Clone(g)
		}
	}
	return out
}

// differing are the groups of want that are not in force, of those that can be.
func differing(want, inForce weights.Set) weights.Set {
	out := weights.Set{}
	for name, g := range want {
		if now := inForce[name]; now != nil && now.SameServers(g) && !now.Equal(g) {
			out[name] = g
		}
	}
	return out
}

// loadShare is the part of the fleet's load that a sample shows; was where that cannot be said.
func loadShare(s *vts.Sample, fleet map[string]float64, was float64) float64 {
	own, all := 0.0, 0.0
	for i := range s.Groups {
		if rate := fleet[s.Groups[i].Name]; rate > 0 && s.Interval > 0 {
			own += float64(s.Groups[i].Requests()) / s.Interval.Seconds()
			all += rate
		}
	}
	if all == 0 || own == 0 {
		return was
	}
	now := min(own/all, 1)
	if was == 0 {
		return now
	}
	return was + 0.1*(now-was)
}

func (n *Node) tell(mode Mode, heard time.Time, refused string) {
	st := NodeStatus{Mode: mode, Epoch: n.epoch, Plan: n.plan, Heard: heard, Refused: refused, Share: n.share}
	if n.held != nil {
		st.Policy = n.held.Version
	}
	for _, key := range sortedFails(n.fails) {
		st.Guarded = append(st.Guarded, key[0]+" "+key[1])
	}
	n.mu.Lock()
	n.status = st
	n.mu.Unlock()
}

// Choose implements control.Policy.
func (n *Node) Choose() control.Decision { return n.decision }

// Committed implements control.Policy.
func (n *Node) Committed(r control.Receipt) { n.cfg.Local.Committed(r) }
