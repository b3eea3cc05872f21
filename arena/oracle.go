package arena

import (
	"context"
	"fmt"
	"math"
	"time"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// Oracle knows the future: for every phase of the scenario it holds the best static weights, found before the run by
// search in the simulator, and sets them when the phase begins. No policy that learns can know them at that time; a
// per-request method can still be better than any static weights.
type Oracle struct {
	control.Fixed
	phases   []Phase
	weights  []weights.Set
	interval time.Duration
	start    time.Time // of the run, from the first sample
}

var (
	_ control.Policy = (*Oracle)(nil)
	_ Starter        = (*Oracle)(nil)
)

// NewOracle finds, or takes from the cache, the best weights of every phase of the case's scenario.
func NewOracle(ctx context.Context, c Case, cache *OracleCache) (*Oracle, error) {
	o := &Oracle{phases: Phases(c.Scenario), interval: c.Scenario.ControlInterval.Std()}
	for i, p := range o.phases {
		w, ok := o.seen(i)
		if !ok {
			var near weights.Set
			if i > 0 {
				near = o.weights[i-1]
			}
			var err error
			if w, err = cache.find(ctx, c, p, near); err != nil {
				return nil, fmt.Errorf("find the oracle's weights of phase %s to %s: %w", p.From, p.To, err)
			}
		}
		o.weights = append(o.weights, w)
	}
	return o, nil
}

// seen returns the weights of an earlier phase that is like phase i.
func (o *Oracle) seen(i int) (weights.Set, bool) {
	for j := range i {
		if o.phases[i].like(o.phases[j]) {
			return o.weights[j], true
		}
	}
	return nil, false
}

// Initial implements Starter.
func (o *Oracle) Initial() weights.Set { return o.weights[0] }

// Observe implements control.Policy: it wants the weights of the phase that most of the next interval belongs to.
func (o *Oracle) Observe(s vts.Sample, inForce weights.Set) { o.Decision = o.decide(s, inForce) }

func (o *Oracle) decide(s vts.Sample, inForce weights.Set) control.Decision {
	if o.start.IsZero() {
		o.start = s.At.Add(-s.Interval)
	}
	middle := s.At.Sub(o.start) + o.interval/2
	want := o.weights[0]
	for i, p := range o.phases {
		if p.From <= middle {
			want = o.weights[i]
		}
	}
	w := weights.Set{}
	for group, settings := range want {
		if !near(settings, inForce[group], 0) {
			w[group] = settings
		}
	}
	if len(w) == 0 {
		return control.Decision{Reason: "hold: the best weights of the phase are in force"}
	}
	return control.Decision{Weights: w, Reason: "the best static weights of the phase"}
}

// cost is what the search makes small: ART per request, and a little of the mean latency in deadlines so that phases
// without any tardiness have a best point too.
func (r Results) cost(deadlines map[string]time.Duration) float64 {
	if r.Requests == 0 {
		return 0
	}
	relative := 0.0
	for _, g := range r.Groups {
		if d := deadlines[g.Upstream]; d > 0 && g.Requests > 0 {
			relative += g.Latency.Mean().Seconds() / d.Seconds() * float64(g.Requests)
		}
	}
	return (r.Tardiness + 0.01*relative) / math.Max(1, float64(r.Requests))
}
