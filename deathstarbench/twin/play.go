package twin

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"trimtab/deathstarbench/sim"
)

// Settings say how a case is played. The zero value of a field means its default.
type Settings struct {
	HorizonSec float64 // that is forecast; default 60
	Samples    int     // of what is believed; default 2 to 12, as many as Requests are enough for
	Requests   int     // simulated in all, at most; default 40000
	// BoundsMsec are the bounds of the histogram that the status page shows, for Outcome.Shown; nil: none.
	BoundsMsec []float64
	Live       bool          // the change needs no reload: the balancer goes on counting what is under way
	Delay      time.Duration // until the change is in force
}

const (
	samplesLeast = 2
	samplesMost  = 12
	samplesEach  = 2000 // requests that are simulated for a sample at least
)

// modelSD is the standard deviation of the log of measured ÷ forecast that is not in the samples.
const modelSD = 0.17

// Range is what is expected of a quantity, in s: half of what may come is below Median, nine tenths between Low and
// High.
type Range struct{ Median, Low, High float64 }

// Outcome is what is expected of the horizon with some weights.
type Outcome struct {
	P99, Mean Range // of response times
	// Shown is the 99th percentile as the histogram of the status page will show it, with its bounds; zero without them.
	Shown Range
}

// Forecast compares holding with a change.
type Forecast struct {
	Hold, Change Outcome
	Better       float64 // probability that the change has the lower 99th percentile
	HorizonSec   float64
	Requests     int // simulated
}

// Play forecasts what holding and a change will bring.
func Play(c Case, hold, change Weights, s Settings, rng *rand.Rand) (Forecast, error) {
	plays, requests, err := c.plays(hold, []Weights{hold, change}, &s, rng)
	if err != nil {
		return Forecast{}, err
	}
	out := Forecast{HorizonSec: s.HorizonSec, Requests: requests, Hold: outcome(plays[0]), Change: outcome(plays[1])}
	for i := range plays[0] {
		switch a, b := plays[0][i].p99, plays[1][i].p99; {
		case b < a:
			out.Better += 1 / float64(s.Samples)
		case b == a:
			out.Better += 0.5 / float64(s.Samples)
		}
	}
	sum := out.Better
	for _, r := range []Range{out.Hold.P99, out.Hold.Mean, out.Change.P99, out.Change.Mean} {
		sum += r.Low + r.Median + r.High
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return Forecast{}, errors.New("forecast: the times played are no numbers")
	}
	return out, nil
}

// Expect says what weights that are in force will bring.
func Expect(c Case, inForce Weights, s Settings, rng *rand.Rand) (Outcome, error) {
	plays, _, err := c.plays(inForce, []Weights{inForce}, &s, rng)
	if err != nil {
		return Outcome{}, err
	}
	return outcome(plays[0]), nil
}

// plays plays every sample of a case once for each of the targets that the weights hold are changed to. It sets the
// defaults of s.
func (c *Case) plays(hold Weights, targets []Weights, s *Settings, rng *rand.Rand) (plays [][]played, requests int,
	err error) {
	if err := c.check(append(targets, hold)...); err != nil {
		return nil, 0, err
	}
	s.HorizonSec = cmp.Or(s.HorizonSec, 60)
	s.Requests = cmp.Or(s.Requests, 40000)
	s.Samples = cmp.Or(s.Samples, max(samplesLeast, min(samplesMost, s.Requests/samplesEach)))
	stretches := 1.0
	if c.backlog() { // which takes longer plays, each of two stretches
		s.Samples, stretches = max(samplesLeast, s.Samples/3), 2
	}
	held := 0.0
	for i := range c.Servers {
		held += c.Servers[i].Inside
	}
	each := float64(s.Requests)/float64(len(targets)*s.Samples) - held // requests that arrive in a play
	if !(each > held) {
		return nil, 0, fmt.Errorf("forecast: %.0f requests wait, more than can be played", held)
	}
	seconds := math.Min(s.HorizonSec, each/stretches/c.rate())
	plays = make([][]played, len(targets))
	for range s.Samples {
		w := c.draw(hold, seconds, rng)
		seed := rng.Uint64()
		for i, target := range targets {
			p, n, err := c.play(&w, hold, target, seconds, s, seed)
			if err != nil {
				return nil, 0, err
			}
			requests += n
			plays[i] = append(plays[i], p)
		}
	}
	return plays, requests, nil
}

// played is what one play showed, in s.
type played struct{ p99, mean, shown float64 }

const segments = 4 // of a play

// play plays a world in which the weights hold change to target. What is played stands for the whole horizon: the last
// segment for the time after it. Where a backlog stands now, that is the time until it is gone; from then on a second
// play tells, without it.
func (c *Case) play(w *world, hold, target Weights, seconds float64, s *Settings, seed uint64) (played, int, error) {
	var all sim.Histogram
	until := s.HorizonSec
	if seconds < s.HorizonSec && c.backlog() {
		until = math.Min(s.HorizonSec, math.Max(seconds, c.drained(w, target)))
	}
	n, err := c.stretch(&all, w, w.held, hold, target, seconds, until, s, seed)
	if err == nil && until < s.HorizonSec {
		var more int
		more, err = c.stretch(&all, w, nil, target, target, seconds, s.HorizonSec-until, s, seed)
		n += more
	}
	if err != nil {
		return played{}, 0, fmt.Errorf("forecast: %w", err)
	}
	p := played{p99: all.Quantile(0.99).Seconds(), mean: all.Mean().Seconds()}
	if len(s.BoundsMsec) > 0 {
		p.shown = quantile(s.BoundsMsec, shown(&all, s.BoundsMsec), float64(all.Count()), 0.99)
	}
	return p, n, nil
}

// stretch plays for so many seconds and adds what clients saw to all, as of the time given.
func (c *Case) stretch(
	all *sim.Histogram, w *world, held []sim.Held, hold, target Weights, seconds, standsFor float64, s *Settings,
	seed uint64,
) (requests int, err error) {
	run, err := sim.New(&w.scenario, sim.Options{
		Seed: seed, Interval: time.Duration(seconds / segments * 1e9), BucketsMsec: []float64{}, Live: s.Live,
		ApplyDelay: s.Delay, Held: held,
		MaxFails: -1,
	})
	if err == nil {
		err = run.SetWeightsNow(c.settings(hold))
	}
	if err == nil {
		err = run.SetWeights(c.settings(target))
	}
	if err != nil {
		return 0, err
	}
	last := uint32(math.Max(1, math.Round(standsFor/seconds*segments-segments+1)))
	for i := 0; !run.Done(); i++ {
		if _, err := run.Step(); err != nil {
			return 0, err
		}
		times := uint32(1)
		if i == segments-1 {
			times = last
		}
		for _, g := range run.Interval() {
			all.MergeTimes(&g.Latency, times)
		}
	}
	return int(run.Requests()), nil
}

// shown are the cumulative counts of a histogram with other bounds.
func shown(h *sim.Histogram, boundsMsec []float64) []float64 {
	out := make([]float64, len(boundsMsec))
	for i, b := range boundsMsec {
		out[i] = h.Below(time.Duration(b * float64(time.Millisecond)))
	}
	return out
}

// quantile is the q-quantile in s of count response times of which cumulative are at most as long as each bound, in ms:
// geometric inside a bucket. What is longer than the last bound counts as that bound.
func quantile(boundsMsec, cumulative []float64, count, q float64) float64 {
	rank, before, low := q*count, 0.0, 0.0
	for i, n := range cumulative {
		high := boundsMsec[i] / 1e3
		if n >= rank && n > before {
			if low == 0 {
				low = high / 4
			}
			return low * math.Pow(high/low, (rank-before)/(n-before))
		}
		before, low = n, high
	}
	return low
}

// outcome sums up the plays of all samples.
func outcome(plays []played) Outcome {
	of := func(value func(played) float64) Range {
		logs := make([]float64, 0, len(plays))
		for _, p := range plays {
			logs = append(logs, math.Log(math.Max(value(p), leastService)))
		}
		return rangeOf(logs)
	}
	out := Outcome{P99: of(func(p played) float64 { return p.p99 }), Mean: of(func(p played) float64 { return p.mean })}
	if plays[0].shown > 0 {
		out.Shown = of(func(p played) float64 { return p.shown })
	}
	return out
}

const ninety = 1.645 // standard deviations on either side of nine tenths of a normal distribution

func rangeOf(logs []float64) Range {
	slices.Sort(logs)
	n := len(logs)
	median := (logs[(n-1)/2] + logs[n/2]) / 2
	sd := modelSD
	if n > 1 {
		sd = math.Hypot(modelSD, stat.StdDev(logs, nil))
	}
	return Range{Median: math.Exp(median), Low: math.Exp(median - ninety*sd), High: math.Exp(median + ninety*sd)}
}
