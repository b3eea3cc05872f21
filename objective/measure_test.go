package objective

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"trimtab/vts"
)

// peerOf makes the counters of a server that answered in the given times, in ms.
func peerOf(times, bounds []float64) vts.PeerSample {
	p := vts.PeerSample{Server: "a", Known: true, Requests: uint64(len(times)), BucketsMsec: bounds,
		Buckets: make([]uint64, len(bounds))}
	sum := 0.0
	for _, t := range times {
		sum += t
		for k, b := range bounds {
			if t <= b {
				p.Buckets[k]++
			}
		}
	}
	p.ResponseMsec = uint64(math.Round(sum))
	return p
}

func lognormal(n int, mean, cv float64, rng *rand.Rand) []float64 {
	s2 := math.Log1p(cv * cv)
	out := make([]float64, n)
	for i := range out {
		out[i] = mean * math.Exp(rng.NormFloat64()*math.Sqrt(s2)-s2/2)
	}
	return out
}

func directART(times []float64, deadline float64) float64 {
	sum := 0.0
	for _, t := range times {
		sum += math.Max(0, (t-deadline)/deadline)
	}
	return sum
}

func TestARTAgainstDirectComputation(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	times := lognormal(50_000, 40, 0.7, rng)
	fine := make([]float64, 400) // 2 ms buckets: linear interpolation inside them is nearly exact
	for i := range fine {
		fine[i] = float64(2 * (i + 1))
	}
	coarse := []float64{1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 500, 700, 1000}
	for _, c := range []struct {
		about     string
		bounds    []float64
		deadline  time.Duration
		tolerance float64
		basis     Basis
	}{
		{"2 ms buckets, a deadline at the mean", fine, 40 * time.Millisecond, 0.005, FromHistogram},
		{"2 ms buckets, a deadline in the tail", fine, 120 * time.Millisecond, 0.02, FromHistogram},
		{"the usual buckets, a deadline in the tail: a bucket of 100 to 150 ms is taken as even", coarse,
			120 * time.Millisecond, 0.35, FromHistogram},
		{"buckets that end below the deadline put the rest at its mean", []float64{10, 30}, 20 * time.Millisecond, 0.1,
			FromHistogram},
		{"no buckets: lognormal around the mean", nil, 60 * time.Millisecond, 0.25, FromMean},
	} {
		got := Measure(vts.GroupSample{Peers: []vts.PeerSample{peerOf(times, c.bounds)}}, c.deadline.Seconds())
		want := directART(times, c.deadline.Seconds()*1e3)
		if math.Abs(got.Tardiness-want) > c.tolerance*want || got.Basis != c.basis {
			t.Errorf("%s: got %.1f from %s, want %.1f from %s", c.about, got.Tardiness, got.Basis, want, c.basis)
		}
	}
}

func TestFailedRequestsAreTardy(t *testing.T) {
	p := peerOf([]float64{1, 1, 1, 1}, []float64{10})
	p.Responses[4] = 2
	r := Measure(vts.GroupSample{Peers: []vts.PeerSample{p}}, 0.01)
	if got := r.PerRequest(10); got != 5 {
		t.Errorf("2 of 4 requests failed, 10 deadlines each: got %v per request, want 5", got)
	}
	if got := (Measured{}).PerRequest(10); got != 0 {
		t.Errorf("no requests: got %v, want 0", got)
	}
}

func TestTardinessOfLognormal(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	table := NewTable()
	for _, c := range []struct{ mean, cv, deadline float64 }{{20, 0.5, 45}, {40, 1, 45}, {100, 0.3, 45}, {30, 2, 60}} {
		want := directART(lognormal(400_000, c.mean, c.cv, rng), c.deadline) / 400_000
		v := c.cv * c.cv * c.mean * c.mean
		if got := Tardiness(c.mean, v, c.deadline); math.Abs(got-want) > 0.04*want+1e-4 {
			t.Errorf("mean %v, cv %v, deadline %v: got %v, want %v (400,000 draws)", c.mean, c.cv, c.deadline, got,
				want)
		}
		if got, exact := table.At(c.mean, v, c.deadline), Tardiness(c.mean, v, c.deadline); math.Abs(got-exact) > 0.01 {
			t.Errorf("mean %v, cv %v: table %v, exact %v", c.mean, c.cv, got, exact)
		}
	}
	if got := Tardiness(50, 0, 40); got != 0.25 {
		t.Errorf("no variance: got %v, want (50−40)/40", got)
	}
}

func TestMomentsAndDeadline(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	bounds := make([]float64, 300)
	for i := range bounds {
		bounds[i] = float64(i + 1)
	}
	times := lognormal(50_000, 30, 0.5, rng)
	n, sum, square, ok := MomentsOf(peerOf(times, bounds))
	m := Moments{N: n, Sum: sum, Square: square}
	if !ok || math.Abs(m.Mean()-0.030) > 3e-4 || math.Abs(math.Sqrt(m.Variance())-0.015) > 4e-4 {
		t.Fatalf("lognormal 30 ms, cv 0.5: got mean %v s, deviation %v s", m.Mean(), math.Sqrt(m.Variance()))
	}
	if got := DeadlineOf(m, 1); got < 59*time.Millisecond || got > 61*time.Millisecond {
		t.Errorf("μ + 2σ = 60 ms for priority 1: got %v", got)
	}
	if got := DeadlineOf(m, 2); got < 51*time.Millisecond || got > 54*time.Millisecond {
		t.Errorf("μ + 1.5σ = 52.5 ms for priority 2: got %v", got)
	}
	if _, _, _, ok := MomentsOf(vts.PeerSample{Requests: 5}); ok {
		t.Error("no histogram, no moments: got some")
	}
}

func FuzzMeasure(f *testing.F) {
	f.Add(uint64(10), uint64(300), uint64(2), uint64(5), uint64(9), 0.02)
	f.Fuzz(func(t *testing.T, requests, msec, errs, b0, b1 uint64, deadline float64) {
		p := vts.PeerSample{Requests: requests % 1e6, ResponseMsec: msec % 1e12, BucketsMsec: []float64{5, 50},
			Buckets: []uint64{b0 % 1e6, b1 % 1e6}}
		p.Responses[4] = errs % 1e6
		r := Measure(vts.GroupSample{Peers: []vts.PeerSample{p}}, deadline)
		if slices.ContainsFunc([]float64{r.Tardiness, r.MeanSec, r.PerRequest(10)}, func(v float64) bool {
			return math.IsNaN(v) || v < 0
		}) {
			t.Fatalf("tardiness %v, mean %v, per request %v: want numbers of at least 0", r.Tardiness, r.MeanSec,
				r.PerRequest(10))
		}
	})
}

func TestTableAgainstTardiness(t *testing.T) {
	table := NewTable()
	worst := 0.0
	for ratio := 0.01; ratio < 100; ratio *= 1.013 {
		for cv := 0.0; cv < 6.9; cv += 0.037 {
			got, byRatio, byCV := table.Slopes(ratio, cv)
			exact := Tardiness(ratio, cv*cv*ratio*ratio, 1)
			worst = math.Max(worst, math.Abs(got-exact)/(1+exact))
			if ratio > 0.1 && ratio < 60 && cv > 0.2 {
				const step = 1e-3
				dr := (Tardiness(ratio+step, cv*cv*(ratio+step)*(ratio+step), 1) - exact) / step
				dc := (Tardiness(ratio, (cv+step)*(cv+step)*ratio*ratio, 1) - exact) / step
				if math.Abs(byRatio-dr) > 0.06 || math.Abs(byCV-dc) > 0.06*(1+ratio) {
					t.Fatalf("%v deadlines, cv %v: got slopes %.4f and %.4f, want %.4f and %.4f", ratio, cv, byRatio,
						byCV, dr, dc)
				}
			}
		}
	}
	if worst > 0.01 {
		t.Errorf("the table is %.4f of a deadline beside the formula, want at most 0.01", worst)
	}
	for _, c := range []struct {
		name      string
		ratio, cv float64
		want      float64
	}{
		{"no number of deadlines", math.NaN(), 1, 0},
		{"no coefficient of variation", 2, math.NaN(), 0},
		{"nothing", 0, 1, 0},
		{"a time without end", math.Inf(1), 1, math.Inf(1)},
		{"a hundred deadlines", 100, 1, 99},
	} {
		if got, _, _ := table.Slopes(c.ratio, c.cv); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
