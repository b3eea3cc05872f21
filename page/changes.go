package page

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"trimtab/plain"
	"trimtab/prove"
	"trimtab/tuner"
	"trimtab/weights"
	"trimtab/words"
)

// changesKept is how many changes are listed.
const changesKept = 200

// pending collects what follows a change.
type pending struct {
	seq   uint64
	tally map[string]*prove.Tally // by upstream
}

// change adds a change to the list.
func (r *Recorder) change(s *Step, at float64) {
	moves := words.Moves(s.InForce, s.Changed)
	if len(moves) == 0 {
		return
	}
	c := Change{Seq: r.state.Seq, At: at, Cause: s.Cause, Reason: plain.Text(s.Reason), Undo: plain.Text(s.Undo),
		Reloaded: s.Reloaded, Keys: []string{}}
	c.Moves = words.Lines(moves)
	for _, m := range moves {
		if k := r.key(m.Group); !slices.Contains(c.Keys, k) && len(c.Keys) < 20 {
			c.Keys = append(c.Keys, k)
		}
	}
	if e := s.Explanation; e != nil && s.Cause == CauseTuner {
		var all []string
		for i := range e.Pools {
			p := &e.Pools[i]
			if x := words.Expected(p.Forecast); x != "" && slices.ContainsFunc(p.Groups,
				func(g string) bool { return s.Changed[g] != nil }) {
				all = append(all, x)
			}
		}
		c.Expected = strings.Join(all, "; ")
	}
	r.changes = append(r.changes[max(0, len(r.changes)+1-changesKept):len(r.changes):len(r.changes)], c)
	r.pending = &pending{seq: c.Seq, tally: map[string]*prove.Tally{}}
	for group := range s.Changed {
		r.pending.tally[group] = &prove.Tally{}
	}
}

// Causes of changes.
const (
	CauseTuner      = "tuner"
	CauseOperator   = "operator"
	CauseExperiment = "experiment"
	CauseOrders     = "orders"
)

// outcome takes in what followed the last change, and says it after the first interval that was wholly on the new
// weights.
func (r *Recorder) outcome(s *Step) string {
	p := r.pending
	if p == nil {
		return ""
	}
	for i := range s.Sample.Groups {
		g := &s.Sample.Groups[i]
		if t := p.tally[g.Name]; t != nil {
			for j := range g.Peers {
				t.Add(&g.Peers[j])
			}
		}
	}
	var all prove.Tally
	for _, name := range slices.Sorted(maps.Keys(p.tally)) {
		t := p.tally[name]
		all.Merge(t)
	}
	if all.Requests < 100 && r.state.Seq-p.seq < 20 {
		return ""
	}
	i := slices.IndexFunc(r.changes, func(c Change) bool { return c.Seq == p.seq })
	if p99 := all.Quantile(0.99); i >= 0 && p99 > 0 {
		r.changes = slices.Clone(r.changes) // the old list may be on its way to a browser
		r.changes[i].Measured = "measured " + words.MS(p99)
		r.pending = nil
		c := r.changes[i]
		return strings.Join(c.Keys, ", ") + ": " + strings.TrimPrefix(c.Expected+", ", ", ") + c.Measured
	}
	r.pending = nil
	return ""
}

// forecasts replaces what was measured in an interval by what was measured over the time that was forecast.
func (r *Recorder) forecasts(e *tuner.Explanation) {
	for i := range e.Pools {
		f := e.Pools[i].Forecast
		if f == nil || f.MeasuredP99MS <= 0 || len(r.changes) == 0 {
			continue
		}
		for j := len(r.changes) - 1; j >= 0 && j >= len(r.changes)-5; j-- {
			c := &r.changes[j]
			text := fmt.Sprintf("measured %s over %.0f s", words.MS(f.MeasuredP99MS), f.HorizonSec)
			if c.Cause != CauseTuner || !slices.ContainsFunc(e.Pools[i].Groups,
				func(g string) bool { return slices.Contains(c.Keys, r.key(g)) }) {
				continue
			}
			if c.Measured != text && c.Expected != "" {
				r.changes = slices.Clone(r.changes)
				r.changes[j].Measured = text
			}
			break
		}
	}
}

// Note adds a change that was seen and not made by the tuner; undo says how it is taken back.
func (r *Recorder) Note(cause string, was, now weights.Set, reason, undo string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.change(&Step{InForce: was, Changed: now, Cause: cause, Reason: reason, Undo: undo}, r.now())
	r.state.Changes = r.changes
	clear(r.cache)
}
