package twin

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
)

// two returns a case of two servers whose slots and service times are known up to sd, asked for so many requests per
// second.
func two(method sim.Method, rate, sd float64, slots ...float64) Case {
	c := Case{Groups: []Group{{Method: method, RatePerSec: rate}}}
	for i, n := range slots {
		c.Servers = append(c.Servers, Server{
			Slots: []Slots{{Slots: n, Probability: 1, ServiceSec: []float64{0.05}}},
			SD:    []float64{sd}, Fail: []float64{0}, DonePerSec: rate / 2,
		})
		c.Groups[0].Links = append(c.Groups[0].Links, Link{Server: i, SCV: 0.25})
	}
	return c
}

func of(ws ...int) Weights {
	out := Weights{nil}
	for _, w := range ws {
		out[0] = append(out[0], sim.Setting{Weight: w})
	}
	return out
}

func play(t testing.TB, c Case, hold, change Weights, s Settings) Forecast {
	t.Helper()
	f, err := Play(c, hold, change, s, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestForecastTellsGoodChangesFromBadOnes(t *testing.T) {
	// 4 and 12 slots of 50 ms serve 80 and 240 per second: of 200, half is too much for the first.
	c := two(sim.RoundRobin, 200, 0.05, 4, 12)
	for _, test := range []struct {
		name         string
		hold, change Weights
		least, most  float64
	}{
		{"weights by capacity are better than equal ones", of(1, 1), of(1, 3), 0.95, 1},
		{"equal ones are worse than weights by capacity", of(1, 3), of(1, 1), 0, 0.05},
		{"the same weights are as good", of(1, 3), of(2, 6), 0.3, 0.7},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := play(t, c, test.hold, test.change, Settings{})
			if f.Better < test.least || f.Better > test.most {
				t.Errorf("probability that it is better: got %.2f, want %v to %v (%+v)", f.Better, test.least, test.most, f)
			}
			for _, r := range []Range{f.Hold.P99, f.Change.P99, f.Hold.Mean, f.Change.Mean} {
				if !(r.Low > 0 && r.Low < r.Median && r.Median < r.High) {
					t.Errorf("an interval holds its median: got %+v", r)
				}
			}
		})
	}
}

func TestForecastIsWhatTheSimulatorDoes(t *testing.T) {
	// What is believed is true: the forecast is the long run.
	for _, method := range []sim.Method{sim.RoundRobin, sim.LeastConn, sim.LeastTime} {
		t.Run(string(method), func(t *testing.T) {
			t.Parallel()
			c := two(method, 200, 0, 4, 12)
			f := play(t, c, of(1, 3), of(1, 3), Settings{Requests: 200000, HorizonSec: 60})
			sc := &deathstarbench.Scenario{
				Duration: duration(600), ControlInterval: duration(600),
				Upstreams: []deathstarbench.Upstream{{Name: "0", Workload: "0", Servers: []string{"a", "b"},
					Weights: []int{1, 3}, Method: string(method)}},
				Loads: []deathstarbench.Traffic{{Workload: "0", Arrival: "exp", Phases: []deathstarbench.Phase{{Rate: 200}}}},
			}
			for i, n := range []int{4, 12} {
				sc.Servers = append(sc.Servers, deathstarbench.Server{Name: string(rune('a' + i)), Slots: n, ServiceCV: 0.5,
					Service: map[string]deathstarbench.Duration{"0": duration(0.05)}})
			}
			run, err := sim.New(sc, sim.Options{Seed: 9})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := run.Step(); err != nil {
				t.Fatal(err)
			}
			seen := run.Interval()[0].Latency
			if got, want := f.Change.P99.Median, seen.Quantile(0.99).Seconds(); math.Abs(got/want-1) > 0.1 {
				t.Errorf("p99: got %.4f s, want %.4f", got, want)
			}
			if got, want := f.Change.Mean.Median, seen.Mean().Seconds(); math.Abs(got/want-1) > 0.05 {
				t.Errorf("mean: got %.4f s, want %.4f", got, want)
			}
		})
	}
}

func TestForecastBeginsWithTheQueuesOfNow(t *testing.T) {
	c := two(sim.RoundRobin, 100, 0.02, 4, 12)
	empty := play(t, c, of(1, 3), of(1, 3), Settings{HorizonSec: 10})
	c.Servers[0].Inside, c.Servers[1].Inside = 400, 4 // 5 s of work at the first
	full := play(t, c, of(1, 3), of(1, 3), Settings{HorizonSec: 10})
	if full.Hold.P99.Median < 10*empty.Hold.P99.Median || full.Hold.P99.Median < 3 {
		t.Errorf("p99 behind a queue of 5 s: got %.3f s, %.3f s without it", full.Hold.P99.Median, empty.Hold.P99.Median)
	}
}

func TestForecastIsLessSureWhenLessIsKnown(t *testing.T) {
	width := func(r Range) float64 { return math.Log(r.High / r.Low) }
	sure := play(t, two(sim.RoundRobin, 200, 0.01, 4, 12), of(1, 3), of(1, 3), Settings{})
	unsure := play(t, two(sim.RoundRobin, 200, 0.3, 4, 12), of(1, 3), of(1, 3), Settings{})
	if width(unsure.Change.P99) < 1.5*width(sure.Change.P99) {
		t.Errorf("width of the interval: got %.2f known and %.2f hardly known", width(sure.Change.P99),
			width(unsure.Change.P99))
	}
}

func TestForecastKeepsToItsBudgetAndSeed(t *testing.T) {
	c := two(sim.LeastConn, 5000, 0.1, 96, 128)
	c.Servers[0].Slots[0].ServiceSec[0] /= 4
	c.Servers[1].Slots[0].ServiceSec[0] /= 4
	a := play(t, c, of(1, 3), of(1, 2), Settings{Requests: 20000})
	b := play(t, c, of(1, 3), of(1, 2), Settings{Requests: 20000})
	if a.Requests > 22000 || a.Requests < 18000 {
		t.Errorf("requests: got %d, want about 20000", a.Requests)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("the same seed gives the same forecast: got %+v and %+v", a, b)
	}
}

func TestForecastRefusesWhatCannotBePlayed(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(c *Case, hold, change Weights)
	}{
		{"a server of which nothing is known", func(c *Case, _, _ Weights) { c.Servers[1].Slots = nil }},
		{"queues too long to be played", func(c *Case, _, _ Weights) { c.Servers[0].Inside = 30000 }},
		{"a queue that is not a number", func(c *Case, _, _ Weights) { c.Servers[0].Inside = math.NaN() }},
		{"no load", func(c *Case, _, _ Weights) { c.Groups[0].RatePerSec = 0 }},
		{"a load that is not a number", func(c *Case, _, _ Weights) { c.Groups[0].RatePerSec = math.NaN() }},
		{"weights of other servers", func(_ *Case, _, change Weights) { change[0] = change[0][:1] }},
		{"a change that leaves nobody", func(_ *Case, _, change Weights) {
			change[0][0].Down,
				change[0][1].Down = true, true
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, hold, change := two(sim.RoundRobin, 100, 0.1, 4, 8), of(1, 1), of(1, 2)
			test.spoil(&c, hold, change)
			if _, err := Play(c, hold, change, Settings{}, rand.New(rand.NewPCG(1, 2))); err == nil {
				t.Error("got no error")
			}
		})
	}
}

func TestScore(t *testing.T) {
	var s Score
	for i := range 60 {
		measured := 1.1
		if i >= 30 {
			measured = 3
		}
		s.Add(Range{Median: 1, Low: 0.8, High: 1.2}, measured)
	}
	// The last 50: 20 at 1.1, 30 at 3.
	if s.Judged != 60 || math.Abs(s.MedianError()-2) > 1e-9 || math.Abs(s.Covered()-0.4) > 1e-9 {
		t.Errorf("got %d judged, median error %v, covered %v", s.Judged, s.MedianError(), s.Covered())
	}
	// A histogram's bound may be 1e308 ms: the median of two such errors is a number all the same.
	var far Score
	for range 2 {
		far.Add(Range{Median: 1e-3, Low: 0, High: 1}, 1e305)
	}
	if got := far.MedianError(); got != mostOff {
		t.Errorf("of what is off beyond all bounds: got %v, want %v", got, mostOff)
	}
}

func TestQuantileOfBuckets(t *testing.T) {
	bounds := []float64{10, 20, 40}
	for _, test := range []struct {
		name       string
		cumulative []float64
		count, q   float64
		want       float64 // s
	}{
		{"the middle of a bucket is its geometric mean", []float64{0, 0, 100}, 100, 0.5, 0.0283},
		{"the end of a bucket is its bound", []float64{0, 50, 100}, 100, 0.5, 0.020},
		{"beyond the last bound is the last bound", []float64{0, 0, 90}, 100, 0.99, 0.040},
		{"nothing below any bound is the last bound", []float64{0, 0, 0}, 10, 0.99, 0.040},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := quantile(bounds, test.cumulative, test.count, test.q); math.Abs(got-test.want) > 1e-4 {
				t.Errorf("got %.4f, want %.4f", got, test.want)
			}
		})
	}
}

func TestMeasuredWantsEnoughToCompare(t *testing.T) {
	var m measured
	m.add([]float64{10, 20}, []uint64{50, 100}, 100)
	if _, ok := m.p99(); ok {
		t.Error("100 response times: got a 99th percentile")
	}
	m.add([]float64{10, 30}, []uint64{50, 900}, 900) // other bounds
	m.add([]float64{10, 20}, []uint64{50, 100}, 100)
	if p99, ok := m.p99(); !ok || p99 < 0.0195 || p99 > 0.02 {
		t.Errorf("200 response times: got %v, %t", p99, ok)
	}
}

func BenchmarkPlay(b *testing.B) {
	for _, method := range []sim.Method{sim.RoundRobin, sim.LeastConn, sim.LeastTime} {
		for _, servers := range []int{4, 32, 256} {
			b.Run(fmt.Sprintf("%s/%d", method, servers), func(b *testing.B) {
				slots, hold, change := make([]float64, servers), make([]int, servers), make([]int, servers)
				for i := range slots {
					slots[i], hold[i], change[i] = float64(4+4*(i%4)), 1, 1+i%4
				}
				c := two(method, 100*float64(servers), 0.1, slots...)
				rng := rand.New(rand.NewPCG(1, 2))
				b.ReportAllocs()
				for b.Loop() {
					f, err := Play(c, of(hold...), of(change...), Settings{Requests: 40000 * 64 / (64 + servers)}, rng)
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(f.Requests), "requests")
				}
			})
		}
	}
}
