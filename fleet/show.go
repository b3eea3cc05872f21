package fleet

import (
	"slices"
	"time"
)

// NodeLine is one node as its centre sees it.
type NodeLine struct {
	Node        string      `json:"node"`
	Version     string      `json:"version,omitempty"`
	HeardSec    float64     `json:"heard_s"`    // since it was heard last
	LoadShare   float64     `json:"load_share"` // of the fleet's requests, 0…1
	RatePerSec  float64     `json:"rate_per_s"`
	Plan        string      `json:"plan"`   // EPOCH.NUMBER that it follows; empty: none
	Policy      uint64      `json:"policy"` // version of the student that it holds
	Trial       bool        `json:"trial"`
	Refused     string      `json:"refused,omitempty"`
	Quarantined uint64      `json:"quarantined"` // samples
	LeftOut     bool        `json:"left_out"`
	Fault       *Quarantine `json:"last_quarantine,omitempty"`
	Samples     uint64      `json:"samples"`
}

// PolicyLine is how far the newest student has come.
type PolicyLine struct {
	Stage
	TakenBack uint64 `json:"taken_back,omitempty"` // version
	Why       string `json:"why,omitempty"`        // it was taken back
	Taught    string `json:"taught,omitempty"`     // why the newest one was made
}

// Nodes are all that are known, by name.
func (c *Centre) Nodes(now time.Time) []NodeLine {
	total := 0.0
	for _, n := range c.nodes {
		total += n.ratePerSec
	}
	out := make([]NodeLine, 0, len(c.nodes))
	for _, name := range sortedKeys(c.nodes) {
		n := c.nodes[name]
		line := NodeLine{Node: name, Version: n.hello.Version, RatePerSec: n.ratePerSec, Quarantined: n.quarantined,
			LeftOut: c.audit.rests(name, now),
			Fault:   n.lastFault, Samples: n.accepted, HeardSec: -1}
		if total > 0 {
			line.LoadShare = n.ratePerSec / total
		}
		if n.last != nil {
			line.HeardSec, line.Policy, line.Refused = now.Sub(n.heard).Seconds(), n.last.Policy, n.last.Refused
			if n.last.Epoch > 0 {
				line.Plan = planName(n.last.Epoch, n.last.Plan)
			}
		}
		_, line.Trial = c.rollout.Stage().Of(name)
		out = append(out, line)
	}
	return out
}

// Faults are the quarantines of late, the newest last.
func (c *Centre) Faults() []Quarantine { return slices.Clone(c.faults) }

// PolicyLine is how far the newest student has come.
func (c *Centre) PolicyLine() PolicyLine {
	version, why := c.rollout.Halted()
	return PolicyLine{Stage: c.rollout.Stage(), TakenBack: version, Why: why, Taught: c.teach.why}
}

// Halted says why the last student was taken back, and which it was.
func (c *Centre) Halted() (version uint64, why string) { return c.rollout.Halted() }

// Rates are the requests per second of the whole fleet, by group.
func (c *Centre) Rates() map[string]float64 {
	out := make(map[string]float64, len(c.last.Groups))
	for i := range c.last.Groups {
		out[c.last.Groups[i].Name] = float64(c.last.Groups[i].Requests()) / c.last.Interval.Seconds()
	}
	return out
}
