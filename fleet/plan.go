package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"trimtab/weights"
)

// Plan is what the centre wants of nodes.
type Plan struct {
	Schema int `json:"v"`
	// Node is the one node that it is for; empty: all that are not in Apart.
	Node  string   `json:"node,omitempty"`
	Apart []string `json:"apart,omitempty"` // nodes with limits of their own, which have plans of their own
	// Epoch and Seq order plans: a centre that takes over has a higher epoch, and each of its plans a higher number. A
	// plan that is sent again so that it stays fresh keeps its number.
	Epoch    uint64      `json:"epoch"`
	Seq      uint64      `json:"seq"`
	IssuedMS int64       `json:"issued_ms"` // Unix time in ms by the centre's clock
	Weights  weights.Set `json:"weights"`   // of the groups that are planned; empty: keep what is in force
	Reason   string      `json:"reason,omitempty"`
	// RatePerSec is the load of the whole fleet, by group.
	RatePerSec map[string]float64 `json:"rate_per_s,omitempty"`
	// Policy says which students nodes are to hold. Schema 1 has none.
	Policy Stage `json:"policy,omitzero"`
}

// Issued is when the centre said it, by its clock.
func (p *Plan) Issued() time.Time { return time.UnixMilli(p.IssuedMS) }

// After reports whether the plan is newer than the one of the epoch and number given.
func (p *Plan) After(epoch, seq uint64) bool {
	return p.Epoch > epoch || p.Epoch == epoch && p.Seq > seq
}

// For returns the plan as a node that reads at most the schema given can take it.
func (p Plan) For(schema int) Plan {
	if schema < Schema {
		p.Schema, p.Policy, p.RatePerSec = OldestSchema, Stage{}, nil
	}
	return p
}

// ParsePlan reads a plan and checks its shape.
func ParsePlan(text []byte) (Plan, error) {
	var p Plan
	if err := json.Unmarshal(text, &p); err != nil {
		return Plan{}, fmt.Errorf("read plan: %w", err)
	}
	if p.Schema < OldestSchema || p.Schema > Schema {
		return Plan{}, fmt.Errorf("read plan: %w: %d, want %d to %d", ErrSchema, p.Schema, OldestSchema, Schema)
	}
	return p, nil
}

// Limits are what a node's operator allows, whatever a centre says.
type Limits struct {
	// Share bounds the share of a server of a group; nil: no bound.
	Share func(group, server string) weights.Limits
	// Keep names servers whose weight nobody but the operator sets.
	Keep func(group, server string) bool
	// Eject allows plans to mark servers down.
	Eject bool
	// Age is how old a plan may be; 0 means DefaultPlanAge.
	Age time.Duration
}

// DefaultPlanAge is how old a plan may be that a node still begins to follow.
const DefaultPlanAge = 30 * time.Second

// The reasons why a node does not take a plan; the error says more.
var (
	ErrOldPlan     = errors.New("plan is not newer than the last one")
	ErrStalePlan   = errors.New("plan is too old")
	ErrFuturePlan  = errors.New("plan is of the future: the clocks differ")
	ErrOtherPlan   = errors.New("plan is for another node")
	ErrBeyondLimit = errors.New("plan is outside of this node's limits")
)

// shareSlack is by how much a share may miss its limit: whole weights of at most 100 do not give every share.
const shareSlack = 0.02

// Check says why a node that has the settings in force does not take a plan; nil: it does.
func (l Limits) Check(p *Plan, node string, inForce weights.Set, now time.Time) error {
	age := l.Age
	if age == 0 {
		age = DefaultPlanAge
	}
	switch old := now.Sub(p.Issued()); {
	case p.Node != "" && p.Node != node, p.Node == "" && slices.Contains(p.Apart, node):
		return fmt.Errorf("%w: %.70q", ErrOtherPlan, p.Node)
	case old > age:
		return fmt.Errorf("%w: %s", ErrStalePlan, old.Round(time.Second))
	case old < -age:
		return fmt.Errorf("%w by %s", ErrFuturePlan, (-old).Round(time.Second))
	}
	for _, name := range sortedKeys(p.Weights) {
		if inForce[name] == nil { // not tuned here: no business of this node
			continue
		}
		if err := l.checkGroup(name, p.Weights[name], inForce[name]); err != nil {
			return fmt.Errorf("%w: group %s: %w", ErrBeyondLimit, name, err)
		}
	}
	return nil
}

func (l Limits) checkGroup(name string, want, inForce weights.Group) error {
	if !want.SameServers(inForce) {
		return fmt.Errorf("its servers are %v here", sortedKeys(inForce))
	}
	live := slices.ContainsFunc(sortedKeys(want), func(server string) bool { return !want[server].Down })
	if !live {
		return errors.New("every server would be down")
	}
	shares, now := want.Shares(), inForce.Shares()
	for _, server := range sortedKeys(want) {
		if want[server].Down && !inForce[server].Down && !l.Eject {
			return fmt.Errorf("server %s would be down, and eject is not allowed", server)
		}
		if l.Keep != nil && l.Keep(name, server) && want[server].Down != inForce[server].Down {
			return fmt.Errorf("server %s is the operator's", server)
		}
		if l.Keep != nil && l.Keep(name, server) && differ(shares[server], now[server]) {
			return fmt.Errorf("server %s is the operator's: its share would be %.3g, and is %.3g", server,
				shares[server], now[server])
		}
		if l.Share == nil || want[server].Down {
			continue
		}
		b := l.Share(name, server)
		most := b.Max
		if most == 0 {
			most = 1
		}
		if s := shares[server]; s < b.Min-shareSlack || s > most+shareSlack {
			return fmt.Errorf("server %s would have a share of %.3g: want %.3g to %.3g", server, s, b.Min, most)
		}
	}
	return nil
}

func differ(a, b float64) bool { return a-b > shareSlack || b-a > shareSlack }
