package rival

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// KnapsackConfig parameterises the knapsack policy. The zero value of a field means its default.
type KnapsackConfig struct {
	HalfLife time.Duration // of what was measured; default 60 s
	Units    int           // into which the load is cut; default 100
	Explore  float64       // how far beyond the highest load measured a server may be sent, as a factor; default 1.25
	MinGain  float64       // predicted relative gain that is worth new weights; default 0.03
}

// Validate reports all faults.
func (c KnapsackConfig) Validate() error {
	var errs []error
	if c.HalfLife < 0 {
		errs = append(errs, fmt.Errorf("knapsack half_life %v: want 0 (default) or more", c.HalfLife))
	}
	if c.Units < 0 || c.Units > 1000 {
		errs = append(errs, fmt.Errorf("knapsack units %d: want 0 (default) to 1000", c.Units))
	}
	if c.Explore != 0 && !(c.Explore > 1) {
		errs = append(errs, fmt.Errorf("knapsack explore %v: want 0 (default) or above 1", c.Explore))
	}
	if !(c.MinGain >= 0 && c.MinGain < 1) {
		errs = append(errs, fmt.Errorf("knapsack min_gain %v: want 0 (default) to below 1", c.MinGain))
	}
	return errors.Join(errs...)
}

// Knapsack chooses weights by integer programming over measured latency curves, as KnapsackLB does (Gandhi and
// Narayana, CoNEXT 2025):
//
//	minimise Σ_s x_s·l_s(x_s)   subject to   Σ_s x_s = demand,   x_s a multiple of demand/Units
//
// where l_s(x) is the mean response time that server s had at x requests per second, made monotone (pool adjacent
// violators) and interpolated. The programme is a multiple-choice knapsack, solved exactly by dynamic programming.
// Loads that were never measured are approached in steps. Groups that have the same servers get the same shares. It has
// no model of a queue and no memory of load.
type Knapsack struct {
	control.Fixed
	cfg   KnapsackConfig
	pools map[string]map[string]*curve // by the servers of the pool, by server
}

// curve is what was measured of a server, in bins of load that are a tenth wide.
type curve struct {
	bins map[int]*curveBin
}

type curveBin struct{ weight, rate, latency float64 }

// NewKnapsack returns the policy.
func NewKnapsack(c KnapsackConfig) (*Knapsack, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.HalfLife == 0 {
		c.HalfLife = time.Minute
	}
	if c.Units == 0 {
		c.Units = 100
	}
	if c.Explore == 0 {
		c.Explore = 1.25
	}
	if c.MinGain == 0 {
		c.MinGain = 0.03
	}
	return &Knapsack{cfg: c, pools: map[string]map[string]*curve{}}, nil
}

var _ control.Policy = (*Knapsack)(nil)

// binWidth is the logarithm of how far a bin of load reaches.
const binWidth = 0.1

// errorLatency is what a failed request counts as, s: as the L3 controller has it.
const errorLatency = 0.6

// forgotten is the weight below which a measurement is dropped.
const forgotten = 0.05

func (c *curve) add(rate, latency, count, keep float64) {
	for k, b := range c.bins {
		if b.weight *= keep; b.weight < forgotten {
			delete(c.bins, k)
		}
	}
	if rate <= 0 {
		return
	}
	k := int(math.Round(math.Log(rate) / binWidth))
	b := c.bins[k]
	if b == nil {
		b = &curveBin{}
		c.bins[k] = b
	}
	b.weight += count
	b.rate += (rate - b.rate) * count / b.weight
	b.latency += (latency - b.latency) * count / b.weight
}

// monotone are the measurements by rising load, their latencies made rising by pooling those that fall.
func (c *curve) monotone() []curveBin {
	var out []curveBin
	for _, b := range c.bins {
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b curveBin) int { return cmp.Compare(a.rate, b.rate) })
	type block struct {
		weight, sum float64
		n           int
	}
	var blocks []block
	for _, b := range out {
		blocks = append(blocks, block{b.weight, b.weight * b.latency, 1})
		for n := len(blocks); n > 1 && blocks[n-2].sum/blocks[n-2].weight > blocks[n-1].sum/blocks[n-1].weight; n-- {
			a := &blocks[n-2]
			a.weight, a.sum, a.n = a.weight+blocks[n-1].weight, a.sum+blocks[n-1].sum, a.n+blocks[n-1].n
			blocks = blocks[:n-1]
		}
	}
	i := 0
	for _, b := range blocks {
		for range b.n {
			out[i].latency = b.sum / b.weight
			i++
		}
	}
	return out
}

// at is the latency at a load: interpolated, below all measurements down to base at no load, beyond them growing in
// proportion to the square of the load.
func at(points []curveBin, base, rate float64) float64 {
	lastRate, last := 0.0, base
	for _, p := range points {
		if rate <= p.rate {
			return last + (max(p.latency, last)-last)*(rate-lastRate)/max(p.rate-lastRate, 1e-9)
		}
		lastRate, last = p.rate, max(p.latency, last)
	}
	if lastRate == 0 {
		return base
	}
	return last * (rate / lastRate) * (rate / lastRate)
}

// Observe implements control.Policy.
func (k *Knapsack) Observe(s vts.Sample, inForce weights.Set) {
	k.Decision = control.Decision{Reason: "hold: no better shares"}
	if s.Interval <= 0 {
		k.Decision.Reason = "hold: the sample covers no time"
		return
	}
	pools := map[string][]vts.GroupSample{}
	var keys []string
	for _, g := range s.Groups {
		names := make([]string, len(g.Peers))
		for i, p := range g.Peers {
			names[i] = p.Server
		}
		key := strings.Join(names, " ")
		if pools[key] == nil {
			keys = append(keys, key)
		}
		pools[key] = append(pools[key], g)
	}
	w := weights.Set{}
	for _, key := range keys {
		x, gain := k.solve(key, pools[key], s.Interval)
		if gain < k.cfg.MinGain {
			continue
		}
		for _, g := range pools[key] {
			if m := settings(g, weights.Quantise(x)); !m.Equal(inForce[g.Name]) {
				w[g.Name] = m
			}
		}
		k.Decision.Reason = fmt.Sprintf("knapsack over measured latencies, predicted gain %.0f %%", 100*gain)
	}
	k.Decision.Weights = w
}

// solve takes in what a pool shows and returns the best loads by server, and what they gain on the present ones.
func (k *Knapsack) solve(key string, groups []vts.GroupSample, interval time.Duration) (best []float64, gain float64) {
	curves := k.pools[key]
	if curves == nil {
		curves = map[string]*curve{}
		k.pools[key] = curves
	}
	keep := math.Exp2(-interval.Seconds() / k.cfg.HalfLife.Seconds())
	n := len(groups[0].Peers)
	now, demand := make([]float64, n), 0.0
	for i := range n {
		count, sum := 0.0, 0.0
		for _, g := range groups {
			p := &g.Peers[i]
			count += float64(p.Requests)
			sum += float64(p.ResponseMsec)/1e3 + errorLatency*float64(p.Responses.Errors())
		}
		now[i] = count / interval.Seconds()
		demand += now[i]
		c := curves[groups[0].Peers[i].Server]
		if c == nil {
			c = &curve{bins: map[int]*curveBin{}}
			curves[groups[0].Peers[i].Server] = c
		}
		c.add(now[i], max(sum/max(count, 1), 0.5e-3), count, keep)
	}
	if demand == 0 {
		return nil, 0
	}
	points, base := make([][]curveBin, n), math.Inf(1)
	for i := range n {
		points[i] = curves[groups[0].Peers[i].Server].monotone()
		for _, p := range points[i] {
			base = min(base, p.latency)
		}
	}
	cost := func(i int, rate float64) float64 { return rate * at(points[i], base, rate) }
	units, unit := k.cfg.Units, demand/float64(k.cfg.Units)
	most := make([]int, n)
	total := 0
	for i := range n {
		most[i] = units
		if groups[0].Peers[i].Down {
			most[i] = 0
			continue
		}
		if len(points[i]) > 0 {
			most[i] = int(math.Ceil(k.cfg.Explore * points[i][len(points[i])-1].rate / unit))
		}
		most[i] = min(max(most[i], 1), units)
		total += most[i]
	}
	if total < units { // nothing was measured as high as is asked for now
		for i := range most {
			if most[i] > 0 {
				most[i] = units
			}
		}
	}
	chosen := knapsack(units, most, func(i, u int) float64 { return cost(i, float64(u)*unit) })
	if chosen == nil {
		return nil, 0
	}
	best = make([]float64, n)
	before, after := 0.0, 0.0
	for i, u := range chosen {
		best[i] = max(float64(u)*unit, demand/100) // a weight of 0 there is not
		before += cost(i, now[i])
		after += cost(i, float64(u)*unit)
	}
	return best, (before - after) / max(before, 1e-12)
}

// knapsack returns how many of so many units each of len(most) takers gets, at most most of them, so that the sum of
// costs is least; nil: there is no room.
func knapsack(units int, most []int, cost func(i, u int) float64) []int {
	least := make([]float64, units+1)
	for u := range least {
		least[u] = math.Inf(1)
	}
	least[0] = 0
	took := make([][]int, len(most))
	for i := range most {
		next := make([]float64, units+1)
		took[i] = make([]int, units+1)
		for u := range next {
			next[u] = math.Inf(1)
		}
		for mine := 0; mine <= most[i]; mine++ {
			c := cost(i, mine)
			for u := mine; u <= units; u++ {
				if v := least[u-mine] + c; v < next[u] {
					next[u], took[i][u] = v, mine
				}
			}
		}
		least = next
	}
	if math.IsInf(least[units], 1) {
		return nil
	}
	out, left := make([]int, len(most)), units
	for i := len(most) - 1; i >= 0; i-- {
		out[i] = took[i][left]
		left -= out[i]
	}
	return out
}
