package cluster

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"trimtab/vts"
)

// Step is one interval of a history as Transitions counts it.
type Step struct {
	Regime int
	Action string // the control in force: Control of the interval's sample
	// Follows says that the interval began where the one before ended; otherwise nothing is counted across the gap.
	Follows bool
	// Mixed says that the control changed within the interval: its transition belongs to no single action.
	Mixed bool
}

// Control writes the weight vectors in force at the end of an interval, such as "compose_backend=1:2:4
// home_read_backend=1:1:1", servers in the order of the status page, - for a server that is down.
func Control(s *vts.Sample) string {
	var b strings.Builder
	for g := range s.Groups {
		if g > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s.Groups[g].Name)
		for p, peer := range s.Groups[g].Peers {
			b.WriteByte("=:"[min(p, 1)])
			if peer.Down {
				b.WriteByte('-')
				continue
			}
			b.WriteString(strconv.Itoa(peer.Weight))
		}
	}
	return b.String()
}

// Transitions holds P(s' | s, a): how often regime s was followed by s' while the control a was in force during the
// interval of s'.
type Transitions struct {
	Interval time.Duration // mean length of an interval
	Labels   []string      // of the regimes
	All      Chain         // whatever the control
	Actions  []Chain       // by control, most transitions first
	Mixed    int           // transitions left out of Actions because the control changed within the interval
}

// Chain is the Markov chain of one action.
type Chain struct {
	Action string // empty for all
	Counts []int  // k×k, row-major: from, to
	k      int
}

// CountTransitions counts the transitions of a history of regimes 0…len(labels)−1.
func CountTransitions(labels []string, history []Step, interval time.Duration) *Transitions {
	k := len(labels)
	t := &Transitions{Interval: interval, Labels: labels, All: Chain{Counts: make([]int, k*k), k: k}}
	chains := map[string]*Chain{}
	var order []string
	for i := 1; i < len(history); i++ {
		from, to := history[i-1], history[i]
		if !to.Follows {
			continue
		}
		at := from.Regime*k + to.Regime
		t.All.Counts[at]++
		if to.Mixed {
			t.Mixed++
			continue
		}
		c := chains[to.Action]
		if c == nil {
			c = &Chain{Action: to.Action, Counts: make([]int, k*k), k: k}
			chains[to.Action] = c
			order = append(order, to.Action)
		}
		c.Counts[at]++
	}
	for _, a := range order {
		t.Actions = append(t.Actions, *chains[a])
	}
	slices.SortStableFunc(t.Actions, func(a, b Chain) int { return b.Total() - a.Total() })
	return t
}

// Total is the number of transitions counted.
func (c Chain) Total() int {
	var n int
	for _, v := range c.Counts {
		n += v
	}
	return n
}

// Row returns the number of transitions out of from and their probabilities, which sum to 1; seen is false, and the
// probabilities nil, when from was never left.
func (c Chain) Row(from int) (count int, p []float64, seen bool) {
	row := c.Counts[from*c.k : (from+1)*c.k]
	for _, v := range row {
		count += v
	}
	if count == 0 {
		return 0, nil, false
	}
	p = make([]float64, c.k)
	for to, v := range row {
		p[to] = float64(v) / float64(count)
	}
	return count, p, true
}

// Entropy is that of the row of from in bits: 0 when its successor is certain. Zero when from was never seen.
func (c Chain) Entropy(from int) float64 {
	_, p, _ := c.Row(from)
	var h float64
	for _, v := range p {
		if v > 0 {
			h -= v * math.Log2(v)
		}
	}
	return h
}

// Dwell is how many intervals a visit to the regime lasts on average, 1/(1−p_ss); known is false when the regime
// was never seen or never left.
func (c Chain) Dwell(regime int) (intervals float64, known bool) {
	_, p, seen := c.Row(regime)
	if !seen || p[regime] == 1 {
		return 0, false
	}
	return 1 / (1 - p[regime]), true
}

// Stationary returns the long-run share of every regime. The chain is started from the shares seen; that matters
// only if it is reducible. A regime that was entered but never left is followed by those shares again. Nil when
// nothing was counted.
func (c Chain) Stationary() []float64 {
	total := c.Total()
	if total == 0 {
		return nil
	}
	k := c.k
	shares := make([]float64, k)
	rows := make([][]float64, k)
	for from := range k {
		_, rows[from], _ = c.Row(from)
		for to := range k {
			shares[to] += float64(c.Counts[from*k+to]) / float64(total)
		}
	}
	for from := range rows {
		if rows[from] == nil {
			rows[from] = shares
		}
	}
	now, next := slices.Clone(shares), make([]float64, k)
	for range 100000 {
		// The lazy chain (P+I)/2 has the same stationary distribution and no period.
		for to := range next {
			next[to] = now[to] / 2
		}
		for from, p := range rows {
			for to, v := range p {
				next[to] += now[from] * v / 2
			}
		}
		var change float64
		for i := range now {
			change += math.Abs(next[i] - now[i])
		}
		now, next = next, now
		if change < 1e-13 {
			break
		}
	}
	return now
}
