package loadgen

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"trimtab/loadgen/arrival"
)

// gapSample is how many gaps the Kolmogorov–Smirnov test of one burst is run on: a uniform sample of all.
const gapSample = 10_000

// gapCheck compares the gaps between the moments at which requests were really sent with the law that was asked for.
// Gaps are taken in operational time, multiplied by the rate, so that bursts with a changing rate can be checked too.
type gapCheck struct {
	mu     sync.Mutex
	law    arrival.Gaps
	rate   arrival.Rate
	start  time.Duration
	n      uint64
	mean   float64 // of the gaps in operational time; mean and squares by Welford's method
	square float64
	wall   time.Duration // sum of the gaps
	sample []float64
	rng    *rand.Rand
}

func newGapCheck(b Burst) (*gapCheck, error) {
	law, err := b.Arrival.Gaps(b.Seed)
	if err != nil {
		return nil, err
	}
	return &gapCheck{law: law, rate: b.Rate, start: b.Start, rng: rand.New(rand.NewPCG(b.Seed, 1))}, nil
}

// add takes in the gaps between the first n requests of a segment.
func (c *gapCheck) add(s *segment, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 1; i < n; i++ {
		from, to := s.sent[i-1], s.sent[i]
		gap := c.rate.Area(from-c.start, to-c.start)
		c.wall += to - from
		c.n++
		delta := gap - c.mean
		c.mean += delta / float64(c.n)
		c.square += delta * (gap - c.mean)
		if len(c.sample) < gapSample {
			c.sample = append(c.sample, gap)
		} else if k := c.rng.Uint64N(c.n); k < gapSample {
			c.sample[k] = gap
		}
	}
}

// GapReport compares the achieved gaps between requests with the law that was asked for.
type GapReport struct {
	Arrival  arrival.Spec `json:"-"`
	Count    uint64       `json:"count"`
	MeanMS   float64      `json:"mean_ms"`    // achieved
	CV       float64      `json:"cv"`         // achieved, in operational time
	TheoryCV float64      `json:"cv_theory"`  // asked
	Mean     float64      `json:"mean_ratio"` // achieved mean gap × asked rate
	KSD      float64      `json:"ks_d"`       // largest distance between the two distribution functions
	KSP      float64      `json:"ks_p"`       // probability of such a distance if the gaps follow the law
	KSSample int          `json:"ks_sample"`  // gaps the test was run on
}

// report sums the check up.
func (c *gapCheck) report() GapReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := GapReport{Count: c.n, TheoryCV: c.law.CV(), KSSample: len(c.sample), Mean: c.mean}
	if c.n < 2 {
		return r
	}
	r.MeanMS = float64(c.wall) / float64(c.n) / float64(time.Millisecond)
	r.CV = math.Sqrt(c.square/float64(c.n-1)) / c.mean
	sorted := slices.Sorted(slices.Values(c.sample))
	r.KSD = arrival.Distance(sorted, c.law.CDF, 0)
	r.KSP = arrival.KolmogorovSmirnov(r.KSD, len(sorted))
	return r
}
