package arrival

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

var _ vegeta.Pacer = (*Process)(nil)

// specs are the laws that the tests go through.
func specs() []Spec {
	return []Spec{
		{Kind: Fixed}, {Kind: Exp}, {Kind: Norm}, {Kind: Norm, CV: 0.05}, {Kind: Norm, CV: 0.7},
		{Kind: Zipf}, {Kind: Zipf, Ranks: 10, Alpha: 1}, {Kind: Zipf, Ranks: 1000, Alpha: 2.5},
	}
}

func (s Spec) String() string {
	return fmt.Sprintf("%s cv=%g ranks=%d alpha=%g", s.Kind, s.CV, s.Ranks, s.Alpha)
}

// draws is a number of gaps at which the standard error of the mean is below CV·0.0023.
const draws = 200_000

func sample(t *testing.T, s Spec, seed uint64, n int) (Gaps, []float64) {
	t.Helper()
	g, err := s.Gaps(seed)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = g.Next()
	}
	return g, x
}

// The mean is 1 and the coefficient of variation the law's, within five standard errors: that of the mean is CV/√n,
// that of the variance √((κ−1)/n) of it with κ the kurtosis, taken from the sample.
func TestGapsHaveTheMomentsOfTheirLaw(t *testing.T) {
	for _, s := range specs() {
		t.Run(s.String(), func(t *testing.T) {
			g, x := sample(t, s, 1, draws)
			var mean float64
			for _, v := range x {
				if v < 0 {
					t.Fatalf("got a gap of %g, want at least 0", v)
				}
				mean += v / draws
			}
			var second, fourth float64
			for _, v := range x {
				second += (v - mean) * (v - mean) / draws
				fourth += math.Pow(v-mean, 4) / draws
			}
			if d := math.Abs(mean - 1); d > 5*g.CV()/math.Sqrt(draws)+1e-9 {
				t.Errorf("got mean %g, want 1", mean)
			}
			if g.CV() == 0 {
				if second > 1e-18 {
					t.Errorf("got variance %g, want 0", second)
				}
				return
			}
			tolerance := 5 * math.Sqrt((fourth/second/second-1)/draws)
			if got, want := second, g.CV()*g.CV(); math.Abs(got/want-1) > tolerance {
				t.Errorf("got variance %g, want %g within %.2g %%", got, want, 100*tolerance)
			}
		})
	}
}

// The constants of zipf are those of DeathStarBench's wrk2; norm keeps its CV through the truncation.
func TestLawsHaveTheDocumentedConstants(t *testing.T) {
	for _, c := range []struct {
		what      string
		spec      Spec
		cv        float64
		at, below float64 // CDF(at) = below
	}{
		{"zipf of 100 ranks with α = 3 has CV 1.154 and 83 % of its gaps at 0.735", Spec{Kind: Zipf}, 1.1544, 0.7352,
			0.8319},
		{"its largest gap is 73.5", Spec{Kind: Zipf}, 1.1544, 73.52, 1},
		{"norm has CV 0.3 by default and half its gaps below 1, but for the truncation", Spec{Kind: Norm}, 0.3, 1,
			0.5004},
		{"exp has CV 1 and its median at ln 2", Spec{Kind: Exp}, 1, math.Ln2, 0.5},
		{"fixed has CV 0", Spec{Kind: Fixed}, 0, 1, 1},
	} {
		g, err := c.spec.Gaps(1)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.CV(); math.Abs(got-c.cv) > 1e-3 {
			t.Errorf("%s: got CV %g, want %g", c.what, got, c.cv)
		}
		if got := g.CDF(c.at); math.Abs(got-c.below) > 1e-3 {
			t.Errorf("%s: got CDF(%g) = %g, want %g", c.what, c.at, got, c.below)
		}
	}
}

func TestGapsFollowTheirDistribution(t *testing.T) {
	for _, s := range specs() {
		t.Run(s.String(), func(t *testing.T) {
			g, x := sample(t, s, 2, 20_000)
			slices.Sort(x)
			d := Distance(x, g.CDF, 1e-9) // forgives the last bits of the atoms
			if p := KolmogorovSmirnov(d, len(x)); p < 0.01 {
				t.Errorf("got D %g, p %g, want the law not rejected at 1 %%", d, p)
			}
		})
	}
}

// The test must be able to fail: a law that is off by 5 % in its mean is told apart.
func TestDistanceTellsLawsApart(t *testing.T) {
	for _, s := range []Spec{{Kind: Exp}, {Kind: Norm}, {Kind: Zipf}, {Kind: Fixed}} {
		g, x := sample(t, s, 3, 20_000)
		for i := range x {
			x[i] *= 1.05
		}
		slices.Sort(x)
		if p := KolmogorovSmirnov(Distance(x, g.CDF, 1e-9), len(x)); p > 0.01 {
			t.Errorf("%s with gaps 5 %% too long: got p %g, want it rejected", s, p)
		}
	}
}

func TestDistanceForgivesTheTolerance(t *testing.T) {
	x := []float64{0.95, 0.97, 1.02, 1.05}
	cdf := fixedGaps{}.CDF
	if got := Distance(x, cdf, 0); math.Abs(got-0.5) > 1e-12 {
		t.Errorf("half of the values on either side of the atom: got D %g, want 0.5", got)
	}
	if got := Distance(x, cdf, 0.0501); got != 0 {
		t.Errorf("no value is off by more than the tolerance: got D %g, want 0", got)
	}
	if got := Distance(x, cdf, 0.04); math.Abs(got-0.25) > 1e-12 {
		t.Errorf("one value on each side is off by more: got D %g, want 0.25", got)
	}
}

// Critical values from Massey (1951): D·√n of 1.36 at 5 % and 1.63 at 1 %.
func TestKolmogorovSmirnovHasItsCriticalValues(t *testing.T) {
	for _, c := range []struct{ lambda, p float64 }{{1.358, 0.05}, {1.628, 0.01}, {0.1, 1}, {0.8276, 0.5}} {
		if got := KolmogorovSmirnov(c.lambda/1000, 1_000_000); math.Abs(got-c.p) > 0.02*c.p {
			t.Errorf("D·√n = %g: got p %g, want %g", c.lambda, got, c.p)
		}
	}
}

func TestSeedDecidesTheArrivals(t *testing.T) {
	for _, s := range specs() {
		_, a := sample(t, s, 7, 1000)
		_, b := sample(t, s, 7, 1000)
		_, c := sample(t, s, 8, 1000)
		if !slices.Equal(a, b) {
			t.Errorf("%s: one seed gave two sequences", s)
		}
		if s.Kind != Fixed && slices.Equal(a, c) {
			t.Errorf("%s: two seeds gave one sequence", s)
		}
	}
}

// The arrivals of seed 1 must not change from version to version: saved schedules depend on them.
func TestArrivalsOfASeedAreFixedForever(t *testing.T) {
	for kind, want := range map[Kind][3]time.Duration{
		Fixed: {10 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond},
		Exp:   {25163276, 29362051, 39103770},
		Norm:  {2965968, 10235595, 23543889},
		Zipf:  {7351800, 14703600, 22055400},
	} {
		p, err := New(kind, Constant(100), 1)
		if err != nil {
			t.Fatal(err)
		}
		var got [3]time.Duration
		for i := range got {
			got[i], _ = p.Next()
		}
		if got != want {
			t.Errorf("%s: got %d, want %d", kind, got, want)
		}
	}
}

func TestBadParametersAreRefused(t *testing.T) {
	for what, s := range map[string]Spec{
		"no kind":                      {},
		"an unknown kind":              {Kind: "uniform"},
		"norm with a negative CV":      {Kind: Norm, CV: -0.1},
		"norm beyond the highest CV":   {Kind: Norm, CV: 0.8},
		"norm with no number as CV":    {Kind: Norm, CV: math.NaN()},
		"zipf with negative ranks":     {Kind: Zipf, Ranks: -1},
		"zipf with too many ranks":     {Kind: Zipf, Ranks: 1 << 30},
		"zipf with a negative α":       {Kind: Zipf, Alpha: -1},
		"zipf with an infinite α":      {Kind: Zipf, Alpha: math.Inf(1)},
		"zipf with no number as its α": {Kind: Zipf, Alpha: math.NaN()},
	} {
		if g, err := s.Gaps(1); err == nil {
			t.Errorf("%s: got %T, want an error", what, g)
		}
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	steps, _ := Steps(Point{0, 100}, Point{time.Second, 2000})
	sine, _ := NewSine(500, 300, time.Minute, 0)
	for _, s := range specs() {
		for name, rate := range map[string]Rate{"constant": Constant(1000), "steps": steps, "sine": sine} {
			p, err := s.Process(rate, 1)
			if err != nil {
				t.Fatal(err)
			}
			if n := testing.AllocsPerRun(1000, func() { p.Next() }); n != 0 {
				t.Errorf("%s over %s: got %g allocations per arrival, want 0", s, name, n)
			}
		}
	}
}

func TestPaceWaitsUntilTheNextArrival(t *testing.T) {
	p, err := New(Fixed, Constant(10), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what    string
		elapsed time.Duration
		want    time.Duration
	}{
		{"the first arrival is one gap after the start", 0, 100 * time.Millisecond},
		{"the second is due at 200 ms", 150 * time.Millisecond, 50 * time.Millisecond},
		{"a late one is due at once", 350 * time.Millisecond, 0},
	} {
		if wait, stop := p.Pace(c.elapsed, 0); wait != c.want || stop {
			t.Errorf("%s: got %s, stop %t, want %s", c.what, wait, stop, c.want)
		}
	}
	p, _ = New(Exp, Constant(0), 1)
	if _, stop := p.Pace(0, 0); !stop {
		t.Error("without any rate: got no stop")
	}
}

func BenchmarkNext(b *testing.B) {
	for _, kind := range Kinds() {
		b.Run(string(kind), func(b *testing.B) {
			p, err := New(kind, Constant(1000), 1)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Next()
			}
		})
	}
}
