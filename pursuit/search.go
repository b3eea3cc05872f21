package pursuit

import (
	"cmp"
	"math"
	"slices"
	"time"

	"trimtab/objective"
)

// Options are how a search is made. The zero value means the defaults.
type Options struct {
	Interval time.Duration // of the intervals that rewards are counted over; default 5 s
	// Steps is into how many parts the weights of a service divide its requests; default 10.
	Steps int
	// Candidates are the settings that the twin ranks, after the formula has; default 24.
	Candidates int
	// Intervals are how many the twin plays of the last candidates; default 640. The first round plays an eighth.
	Intervals int
	Seed      uint64
	// InForce is a candidate whatever the formula says of it; nil: none.
	InForce *Setting
}

func (o Options) withDefaults() Options {
	if o.Interval == 0 {
		o.Interval = 5 * time.Second
	}
	if o.Steps == 0 {
		o.Steps = 10
	}
	if o.Candidates == 0 {
		o.Candidates = 24
	}
	if o.Intervals == 0 {
		o.Intervals = 640
	}
	return o
}

const (
	requestsEnough = 40_000 // requests in which the twin tells settings apart: more are not played of one,
	intervalsLeast = 16     // but these intervals,
	perInterval    = 2_000  // each with so many requests at most: their mean is hardly chance any more
)

// fit makes what the twin plays small enough for busy worlds: shorter intervals, and fewer.
func (o Options) fit(w *World) Options {
	o = o.withDefaults()
	rate := 0.0
	for k := range w.Services {
		rate += w.Services[k].OfferedPerSec
	}
	if rate <= 0 {
		return o
	}
	if most := time.Duration(perInterval / rate * float64(time.Second)); most < o.Interval {
		o.Interval = max(most, time.Millisecond)
	}
	o.Intervals = max(min(o.Intervals, int(requestsEnough/(rate*o.Interval.Seconds()))),
		min(o.Intervals, intervalsLeast))
	return o
}

// Found is the best setting that a search knows of.
type Found struct {
	Setting Setting
	Value   Value // on the twin
	Looked  int   // settings that the formula was asked about
	Played  int   // settings that the twin played
	InForce Value // of Options.InForce, on the same requests
	// Least is the least delay of each service that any setting is expected to give, s; +Inf: none carries it.
	Least []float64
}

// mostPoints is the size of a grid up to which every point is looked at.
const mostPoints = 60_000

// Search finds the setting that an objective is best served by, on average over worlds: these have the same servers,
// services and controls, and differ in what is not known for sure. At every point of the grid, or along its coordinates
// when it is large, the formula says what to expect; the best are played on the twin, in rounds of which each keeps a
// quarter and plays longer. The same arguments find the same.
func Search(worlds []World, o objective.Objective, opt Options) (Found, error) {
	w := &worlds[0]
	opt = opt.fit(w)
	g := newGrid(w, opt)
	var all []ranked
	least := make([]float64, len(w.Services))
	for k := range least {
		least[k] = math.Inf(1)
	}
	delay := make([]float64, len(least))
	look := func(s Setting) float64 {
		sum := 0.0
		clear(delay)
		for i := range worlds {
			out, luck := worlds[i].Predict(&s, o.Terms(), opt.Interval.Seconds())
			for k := range delay {
				delay[k] += out.Services[k].DelaySec / float64(len(worlds))
			}
			sum += expected(o, out, luck)
		}
		for k := range delay {
			if delay[k] > 0 {
				least[k] = math.Min(least[k], delay[k])
			}
		}
		return sum / float64(len(worlds))
	}
	if g.points() <= mostPoints {
		g.each(func(s Setting) { all = append(all, ranked{s.Clone(), look(s), 0}) })
	} else {
		all = g.descend(opt.InForce, look)
	}
	found := Found{Looked: len(all), Least: least}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(b.reward, a.reward) })
	all = all[:min(len(all), opt.Candidates)]
	if s := opt.InForce; s != nil && !slices.ContainsFunc(all, func(r ranked) bool { return r.Equal(*s) }) {
		all = append(all, ranked{s.Clone(), 0, 0})
	}
	found.Played = len(all)
	intervals := max(opt.Intervals/8, 1)
	for {
		values := make([]Value, len(all))
		for i := range all {
			v, err := playAll(worlds, &all[i].Setting, o, opt, intervals)
			if err != nil {
				return found, err
			}
			values[i], all[i].reward, all[i].at = v, v.Reward, i
			if opt.InForce != nil && all[i].Equal(*opt.InForce) {
				found.InForce = v
			}
		}
		slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(b.reward, a.reward) })
		if intervals >= opt.Intervals || len(all) == 1 {
			found.Setting, found.Value = all[0].Setting, values[all[0].at]
			return found, nil
		}
		keep := min(max(len(all)/4, 3), len(all))
		next := all[:keep]
		if s := opt.InForce; s != nil && !slices.ContainsFunc(next, func(r ranked) bool { return r.Equal(*s) }) {
			i := slices.IndexFunc(all, func(r ranked) bool { return r.Equal(*s) })
			next = append(slices.Clone(next), all[i])
		}
		all = next
		intervals = min(intervals*4, opt.Intervals)
	}
}

// ranked is a setting and what it is worth.
type ranked struct {
	Setting
	reward float64
	at     int
}

// playAll plays a setting in every world.
func playAll(worlds []World, s *Setting, o objective.Objective, opt Options, intervals int) (Value, error) {
	var sum Value
	each := max(intervals/len(worlds), 1)
	n := float64(len(worlds))
	for i := range worlds {
		v, err := worlds[i].Play(s, o, opt.Interval, each, opt.Seed+uint64(i))
		if err != nil {
			return Value{}, err
		}
		if i == 0 {
			sum = Value{Held: make([]float64, len(v.Held)),
				Mean: objective.Outcome{Services: make([]objective.Service, len(v.Held)), Capacity: v.Mean.Capacity}}
		}
		sum.Reward += v.Reward / n
		sum.SE += v.SE * v.SE / n / n
		sum.Intervals += v.Intervals
		for k := range v.Held {
			sum.Held[k] += v.Held[k] / n
			m, from := &sum.Mean.Services[k], v.Mean.Services[k]
			m.Name = from.Name
			m.OfferedPerSec += from.OfferedPerSec / n
			m.CarriedPerSec += from.CarriedPerSec / n
			m.DelaySec += from.DelaySec / n
			m.Tardiness += from.Tardiness / n
		}
	}
	sum.SE = math.Sqrt(sum.SE)
	return sum, nil
}
