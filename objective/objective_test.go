package objective_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trimtab/objective"
	"trimtab/vts"
)

const ms = time.Millisecond

// two are the bounds of the published evaluation.
func two() map[string]objective.Terms {
	return map[string]objective.Terms{
		"one": {Bound: 35 * ms, Knee: 50 * ms, Importance: 1, Deadline: 35 * ms},
		"two": {Bound: 110 * ms, Knee: 113 * ms, Importance: 1, Deadline: 110 * ms},
	}
}

func with(change func(map[string]objective.Terms)) map[string]objective.Terms {
	t := two()
	change(t)
	return t
}

func service(name string, offered, carried, delay float64) objective.Service {
	return objective.Service{Name: name, OfferedPerSec: offered, CarriedPerSec: carried, DelaySec: delay}
}

func TestRewards(t *testing.T) {
	important := with(func(m map[string]objective.Terms) { o := m["one"]; o.Importance = 5; m["one"] = o })
	promised := with(func(m map[string]objective.Terms) { o := m["one"]; o.Promised = 10; m["one"] = o })
	for _, c := range []struct {
		name     string
		kind     string
		terms    map[string]objective.Terms
		one, two objective.Service
		capacity float64
		want     float64
	}{
		{"throughput: all that is carried within the bounds", objective.KindThroughput, two(),
			service("one", 10, 10, 0.030), service("two", 10, 8, 0.105), 0, 18},
		{"throughput: half at the knee of 50 ms", objective.KindThroughput, two(), service("one", 10, 10, 0.050),
			service("two", 10, 10, 0.105), 0, 15},
		// 10/(1+e^(200·(0.036−0.050))) = 10/(1+e^−2.8) = 9.427
		{"throughput: the published reward 1 ms beyond the bound", objective.KindThroughput, two(),
			service("one", 10, 10, 0.036), service("two", 10, 0, 0), 0, 9.427},
		{"throughput: nothing far beyond it", objective.KindThroughput, two(), service("one", 10, 10, 0.200),
			service("two", 10, 10, 0.105), 0, 10},
		{"differentiation: one request of the first is worth five", objective.KindDifferentiation, important,
			service("one", 10, 10, 0.03), service("two", 10, 10, 0.1), 0, 60},
		{"guarantee: what is promised is worth ten times as much", objective.KindGuarantee, promised,
			service("one", 10, 10, 0.03), service("two", 10, 10, 0.1), 0, 110},
		{"guarantee: what is beyond the promise is not", objective.KindGuarantee, promised,
			service("one", 20, 20, 0.03), service("two", 10, 10, 0.1), 0, 120},
		{"guarantee: what is promised and not asked for is no loss", objective.KindGuarantee, promised,
			service("one", 5, 5, 0.03), service("two", 10, 10, 0.1), 0, 60},
		{"cost: three units, all bounds hold", objective.KindCost, two(), service("one", 10, 10, 0.03),
			service("two", 10, 10, 0.1), 3, -3},
		{"cost: a bound is broken by far", objective.KindCost, two(), service("one", 10, 10, 0.3),
			service("two", 10, 10, 0.1), 3, -13},
		{"cost: half of the requests are refused", objective.KindCost, two(), service("one", 10, 5, 0.03),
			service("two", 10, 10, 0.1), 1, -11},
		{"cost: who asks nothing violates nothing", objective.KindCost, two(), service("one", 0, 0, 0),
			service("two", 10, 10, 0.1), 1, -1},
		{"delay bound: 30 of 35 and 99 of 110 ms", objective.KindDelayBound, two(), service("one", 10, 10, 0.030),
			service("two", 10, 10, 0.099), 0, -0.030/0.035 - 0.9},
		{"delay bound: beyond the bound by a tenth costs a hundred tenths", objective.KindDelayBound, two(),
			service("one", 10, 10, 0.0385), service("two", 10, 10, 0.110), 0, -10 - 1.1 - 1},
		{"delay bound: refusing half is no way to hold it", objective.KindDelayBound, two(),
			service("one", 10, 5, 0.035), service("two", 10, 10, 0.110), 0, -50 - 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := objective.New(objective.Spec{Kind: c.kind, Upstreams: c.terms})
			if err != nil {
				t.Fatal(err)
			}
			got := o.Reward(objective.Outcome{Services: []objective.Service{c.one, c.two}, Capacity: c.capacity})
			if math.Abs(got-c.want) > 0.001*math.Max(1, math.Abs(c.want)) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestTardinessAsAnObjective(t *testing.T) {
	o, err := objective.New(objective.Spec{Kind: objective.KindTardiness, Upstreams: two()})
	if err != nil {
		t.Fatal(err)
	}
	s := service("one", 10, 10, 0.05)
	s.Tardiness = 0.3
	if got := o.Reward(objective.Outcome{Services: []objective.Service{s}}); math.Abs(got+3) > 1e-9 {
		t.Errorf("ten requests of 0.3 deadlines each: got %v, want −3", got)
	}
}

func TestSpecsThatMakeNoSense(t *testing.T) {
	change := func(f func(*objective.Terms)) map[string]objective.Terms {
		return with(func(m map[string]objective.Terms) { o := m["one"]; f(&o); m["one"] = o })
	}
	for _, c := range []struct {
		name string
		spec objective.Spec
		want string // in the error; empty: none
	}{
		{"what is published", objective.Spec{Kind: objective.KindThroughput, Upstreams: two()}, ""},
		{"an objective that nobody knows", objective.Spec{Kind: "happiness", Upstreams: two()}, `kind "happiness"`},
		{"no upstream", objective.Spec{Kind: objective.KindCost}, "at least one"},
		{"importance 0", objective.Spec{Kind: objective.KindDifferentiation,
			Upstreams: change(func(o *objective.Terms) { o.Importance = 0 })}, "leave the upstream out"},
		{"importance that is no number", objective.Spec{Kind: objective.KindDifferentiation,
			Upstreams: change(func(o *objective.Terms) { o.Importance = math.NaN() })}, "importance NaN"},
		{"a knee before the bound", objective.Spec{Kind: objective.KindThroughput,
			Upstreams: change(func(o *objective.Terms) { o.Knee = 10 * ms })}, "at least the bound"},
		{"a quantile of 1", objective.Spec{Kind: objective.KindThroughput,
			Upstreams: change(func(o *objective.Terms) { o.Quantile = 1 })}, "below 1"},
		{"a delay bound without a bound", objective.Spec{Kind: objective.KindDelayBound,
			Upstreams: change(func(o *objective.Terms) { o.Bound, o.Knee = 0, 0 })}, "wants a bound"},
		{"a promise that another objective does not know", objective.Spec{Kind: objective.KindThroughput,
			Upstreams: change(func(o *objective.Terms) { o.Promised = 5 })}, "contradicts"},
		{"a guarantee that guarantees nothing", objective.Spec{Kind: objective.KindGuarantee, Upstreams: two()},
			"promised something"},
		{"a guarantee for everybody", objective.Spec{Kind: objective.KindGuarantee,
			Upstreams: with(func(m map[string]objective.Terms) {
				for name, o := range m {
					o.Promised = 5
					m[name] = o
				}
			})}, "nobody is left to give way"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := objective.New(c.spec)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestObservedOutcomes(t *testing.T) {
	peer := func(requests, msec uint64) vts.PeerSample {
		return vts.PeerSample{Known: true, Requests: requests, ResponseMsec: msec, RequestMsec: msec,
			Responses: vts.Responses{0, requests}}
	}
	hung := vts.PeerSample{Known: true, Requests: 10, RequestMsec: 300_000, Responses: vts.Responses{0, 0, 0, 10}}
	failing := vts.PeerSample{Known: true, Requests: 10, ResponseMsec: 10, RequestMsec: 10,
		Responses: vts.Responses{0, 0, 0, 0, 10}}
	for _, c := range []struct {
		name                      string
		peers                     []vts.PeerSample
		refused                   uint64
		offered, carried, delayMS float64
	}{
		{"the slower of two paths counts", []vts.PeerSample{peer(50, 1500), peer(50, 2000)}, 0, 10, 10, 40},
		{"what admission refused was offered, and is no delay", []vts.PeerSample{peer(60, 1800), peer(0, 0)}, 40, 10, 6,
			30},
		{"what nobody waited for is not carried and late, however fast it looks", []vts.PeerSample{peer(50, 1500),
			hung}, 0, 6, 5, 30_000},
		{"what failed is not carried", []vts.PeerSample{peer(50, 1500), failing}, 0, 6, 5, 30},
		{"nothing", []vts.PeerSample{peer(0, 0)}, 0, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := vts.Sample{Interval: 10 * time.Second,
				Groups: []vts.GroupSample{{Name: "one", Peers: c.peers, Refused: c.refused}, {Name: "other"}}}
			out := objective.Observe(s, two(), 3)
			if len(out.Services) != 1 || out.Capacity != 3 {
				t.Fatalf("got %+v, want one service and three units", out)
			}
			got := out.Services[0]
			if got.OfferedPerSec != c.offered || got.CarriedPerSec != c.carried ||
				math.Abs(got.DelaySec*1e3-c.delayMS) > 1e-9 {
				t.Errorf("got %+v, want %v offered, %v carried, %v ms", got, c.offered, c.carried, c.delayMS)
			}
		})
	}
}

// More that is carried is never worth less, and a longer delay never more.
func TestRewardsAreMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{objective.KindThroughput, objective.KindDifferentiation,
			objective.KindDelayBound, objective.KindCost}).Draw(t, "kind")
		o, err := objective.New(objective.Spec{Kind: kind, Upstreams: two()})
		if err != nil {
			t.Fatal(err)
		}
		offered := rapid.Float64Range(0.1, 1e4).Draw(t, "offered")
		carried, delay := rapid.Float64Range(0, offered).Draw(t, "carried"), rapid.Float64Range(0, 2).Draw(t, "delay")
		reward := func(carried, delay float64) float64 {
			return o.Reward(objective.Outcome{Services: []objective.Service{service("one", offered, carried, delay)},
				Capacity: 2})
		}
		base := reward(carried, delay)
		if math.IsNaN(base) || math.IsInf(base, 0) {
			t.Fatalf("reward %v of %v carried with %v s", base, carried, delay)
		}
		more := rapid.Float64Range(carried, offered).Draw(t, "more")
		if got := reward(more, delay); got < base-1e-9*math.Abs(base) {
			t.Fatalf("%v carried are worth %v, %v are worth %v", carried, base, more, got)
		}
		if got := reward(carried, delay*1.5); got > base+1e-9*math.Abs(base) {
			t.Fatalf("%v s are worth %v, half as much again %v", delay, base, got)
		}
	})
}

func TestLognormalQuantiles(t *testing.T) {
	// Of a lognormal with σ² = ln(1+cv²) and cv 0.5: median = mean/√1.25 and the 0.975 quantile is
	// median·e^(1.96·0.4724).
	for _, c := range []struct {
		name     string
		quantile float64
		want     float64
	}{
		{"the median", 0.5, 0.8944}, {"97.5 %", 0.975, 0.8944 * math.Exp(1.95996*0.47238)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := objective.LognormalQuantile(1, 0.25, c.quantile); math.Abs(got-c.want) > 1e-3 {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got := objective.LognormalQuantile(0, 0, 0.9); got != 0 {
		t.Errorf("of nothing: got %v, want 0", got)
	}
}
