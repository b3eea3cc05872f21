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

// gapTolerance is the resolution in time that the generator promises: the test of the gaps forgives each gap as much,
// or a quarter of the mean gap if that is less, so that it stays a test of the shape at high rates.
const gapTolerance = 100 * time.Microsecond

// toleranceOf is the tolerance of the test at a mean gap.
func toleranceOf(mean time.Duration) time.Duration { return min(gapTolerance, mean/4) }

// meanBound and cvBound are how far the mean and the coefficient of variation of the gaps sent may be from those of the
// gaps drawn, as shares; the latter of at least the mean where the law has none, as with fixed gaps.
const meanBound, cvBound = 0.01, 0.05

// gapCheck compares the gaps between the moments at which requests were really sent with the law that was asked for.
// Gaps are taken in operational time, multiplied by the rate, so that bursts with a changing rate can be checked too.
type gapCheck struct {
	mu         sync.Mutex
	law        arrival.Gaps
	rate       arrival.Rate
	start      time.Duration
	sent       moments
	drawn      moments       // of the gaps between due times
	wall       time.Duration // sum of the gaps sent
	sample     []float64     // of the gaps sent, in operational time
	sampleFrom *rand.Rand
}

func newGapCheck(b Burst) (*gapCheck, error) {
	law, err := b.Arrival.Gaps(b.Seed)
	if err != nil {
		return nil, err
	}
	return &gapCheck{law: law, rate: b.Rate, start: b.Start, sampleFrom: rand.New(rand.NewPCG(b.Seed, 1))}, nil
}

// add takes in the gaps between the first n requests of a segment.
func (c *gapCheck) add(s *segment, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 1; i < n; i++ {
		from, to := s.sent[i-1], s.sent[i]
		length := c.rate.Area(from-c.start, to-c.start)
		c.wall += to - from
		c.sent.add(length)
		c.drawn.add(c.rate.Area(s.due[i-1]-c.start, s.due[i]-c.start))
		if len(c.sample) < gapSample {
			c.sample = append(c.sample, length)
		} else if at := c.sampleFrom.Uint64N(c.sent.n); at < gapSample {
			c.sample[at] = length
		}
	}
}

// GapReport compares the achieved gaps between requests with the law that was asked for.
type GapReport struct {
	Count       uint64  `json:"count"`
	MeanMS      float64 `json:"mean_ms"`          // achieved
	Mean        float64 `json:"mean_ratio"`       // achieved mean gap × asked rate
	CV          float64 `json:"cv"`               // achieved, in operational time
	DrawnMean   float64 `json:"mean_ratio_drawn"` // of the due times: what chance made of the law
	DrawnCV     float64 `json:"cv_drawn"`         // of the due times
	TheoryCV    float64 `json:"cv_theory"`        // of the law
	KSD         float64 `json:"ks_d"`             // largest distance between the two distribution functions
	KSDTolerant float64 `json:"ks_d_tolerant"`    // the same, each gap forgiven the tolerance
	KSP         float64 `json:"ks_p"`             // probability of that tolerant distance if the gaps follow the law
	ToleranceUS float64 `json:"ks_tolerance_us"`  // of a gap, in microseconds
	Sample      int     `json:"ks_sample"`        // gaps that the test was run on
	// the law is not rejected at 1 %, mean and CV are within 1 % and 5 % of those drawn
	Faithful bool `json:"faithful"`
}

// report sums the check up.
func (c *gapCheck) report() GapReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := GapReport{Count: c.sent.n, TheoryCV: c.law.CV(), Sample: len(c.sample), KSP: 1, Faithful: true}
	if c.sent.n < 2 {
		return r
	}
	r.MeanMS = float64(c.wall) / float64(c.sent.n) / float64(time.Millisecond)
	r.Mean, r.CV, r.DrawnMean, r.DrawnCV = c.sent.mean, c.sent.cv(), c.drawn.mean, c.drawn.cv()
	slices.Sort(c.sample)
	tolerance := toleranceOf(c.wall / time.Duration(c.sent.n))
	r.ToleranceUS = float64(tolerance) / float64(time.Microsecond)
	operational := c.sent.mean * float64(tolerance) * float64(c.sent.n) / float64(c.wall) // at the mean rate
	r.KSD = arrival.Distance(c.sample, c.law.CDF, 0)
	r.KSDTolerant = arrival.Distance(c.sample, c.law.CDF, operational)
	r.KSP = arrival.KolmogorovSmirnov(r.KSDTolerant, len(c.sample))
	r.Faithful = r.KSP >= 0.01 && math.Abs(r.Mean/r.DrawnMean-1) <= meanBound && nearCV(r.CV, r.DrawnCV)
	return r
}

// nearCV says whether a coefficient of variation is as near to the wanted one as the bound asks.
func nearCV(got, want float64) bool {
	scale := want
	if scale < 1e-6 { // rounding to nanoseconds
		scale = 1
	}
	return math.Abs(got-want) <= cvBound*scale
}

// moments are the running mean and sum of squared deviations of a sample (Welford 1962).
type moments struct {
	n            uint64
	mean, square float64
}

func (m *moments) add(x float64) {
	m.n++
	delta := x - m.mean
	m.mean += delta / float64(m.n)
	m.square += delta * (x - m.mean)
}

// cv is the coefficient of variation.
func (m *moments) cv() float64 {
	if m.n < 2 || m.mean == 0 {
		return 0
	}
	return math.Sqrt(m.square/float64(m.n-1)) / m.mean
}
