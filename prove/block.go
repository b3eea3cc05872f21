package prove

import (
	"math"
	"time"

	"trimtab/vts"
)

// Arm is whose weights are in force.
type Arm string

// The arms.
const (
	Operator Arm = "operator"
	Tuned    Arm = "tuned"
)

func (a Arm) other() Arm {
	if a == Operator {
		return Tuned
	}
	return Operator
}

// mostGroups is how many upstreams a block tells apart; with more it knows only all of them together.
const mostGroups = 100

// Block is a span of time in which one arm was in force.
type Block struct {
	Arm     Arm              `json:"arm"`
	From    time.Time        `json:"from"` // when its weights were in force
	Seconds float64          `json:"measured_s"`
	All     Tally            `json:"all"`
	Groups  map[string]Tally `json:"upstreams,omitempty"`
	// Used is the mean share of the servers' capacity that was used, as the tuner believes; 0: it does not say.
	Used   float64 `json:"capacity_used,omitempty"`
	Broken bool    `json:"broken_off,omitempty"` // by the guard
	// Used counts intervals for which the share is known.
	used, usedSec float64
}

// take adds an interval.
func (b *Block) take(s *vts.Sample, used float64) {
	b.Seconds += s.Interval.Seconds()
	for i := range s.Groups {
		g := &s.Groups[i]
		t := b.Groups[g.Name]
		for j := range g.Peers {
			if g.Peers[j].Requests > 0 {
				t.Add(&g.Peers[j])
				b.All.Add(&g.Peers[j])
			}
		}
		if t.Requests > 0 && len(s.Groups) <= mostGroups {
			if b.Groups == nil {
				b.Groups = map[string]Tally{}
			}
			b.Groups[g.Name] = t
		}
	}
	if used > 0 && !math.IsInf(used, 0) {
		b.used += used * s.Interval.Seconds()
		b.usedSec += s.Interval.Seconds()
		b.Used = b.used / b.usedSec
	}
}

// Value is a measure of the block over the upstream named, "" for all; NaN: it is not known.
func (b *Block) Value(m Measure, upstream string, deadlinesMS map[string]float64) float64 {
	t, of := b.All, b.Groups
	if upstream != "" {
		t, of = b.Groups[upstream], map[string]Tally{upstream: b.Groups[upstream]}
	}
	switch m {
	case P99:
		return t.Quantile(0.99)
	case Mean:
		return t.MeanMS()
	case Errors:
		return t.ErrorShare()
	case InFlight:
		if b.Seconds <= 0 {
			return math.NaN()
		}
		return float64(t.ResponseMS) / 1e3 / b.Seconds
	case Used:
		if b.Used == 0 || upstream != "" {
			return math.NaN()
		}
		return b.Used
	}
	art, n := 0.0, uint64(0)
	for name, g := range of {
		if d := deadlinesMS[name]; d > 0 {
			art += g.art(d)
			n += g.Requests
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return art / float64(n)
}

// relative reports whether arms are compared by their ratio.
func (m Measure) relative() bool { return m == P99 || m == Mean || m == InFlight }
