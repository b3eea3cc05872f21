package words

import (
	"strings"
	"testing"

	"trimtab/tuner"
	"trimtab/tuner/gate"
	"trimtab/weights"
)

func group(t *testing.T, list map[string]int) weights.Group {
	t.Helper()
	g := weights.Group{}
	for server, n := range list {
		w, err := weights.New(max(1, n))
		if err != nil {
			t.Fatal(err)
		}
		g[server] = weights.Setting{Weight: w, Down: n == 0}
	}
	return g
}

func TestChangeInWords(t *testing.T) {
	e := &tuner.Explanation{Pools: []tuner.PoolExplanation{{
		Groups:   []string{"compose_backend"},
		Forecast: &tuner.ForecastExplanation{ExpectedP99MS: tuner.Expected{Hold: 310, Change: 45}},
		Servers:  []tuner.ServerExplanation{{Server: "b", CapacityPerSec: map[string]float64{"compose_backend": 160}}},
	}}}
	for _, c := range []struct {
		name     string
		was, now map[string]int
		e        *tuner.Explanation
		want     string
	}{
		{"shares and milliseconds", map[string]int{"a": 79, "b": 20}, map[string]int{"a": 91, "b": 9}, e,
			"b: 20 → 9 % of compose_backend; a: 80 → 91 % of compose_backend; expected p99 310 → 45 ms; b " +
				"saturates at 160/s"},
		{"both times in the same unit", map[string]int{"a": 1, "b": 1}, map[string]int{"a": 1, "b": 3},
			&tuner.Explanation{Pools: []tuner.PoolExplanation{{
				Groups:   []string{"compose_backend"},
				Forecast: &tuner.ForecastExplanation{ExpectedP99MS: tuner.Expected{Hold: 12464, Change: 450}}}}},
			"a: 50 → 25 % of compose_backend; b: 50 → 75 % of compose_backend; expected p99 12.5 → 0.5 s"},
		{"without a forecast", map[string]int{"a": 1, "b": 1}, map[string]int{"a": 1, "b": 3}, nil,
			"a: 50 → 25 % of compose_backend; b: 50 → 75 % of compose_backend"},
		{"a server that is taken out", map[string]int{"a": 1, "b": 1}, map[string]int{"a": 1, "b": 0}, nil,
			"b: taken out of compose_backend; a: 50 → 100 % of compose_backend"},
		{"weights that mean the same", map[string]int{"a": 1, "b": 1}, map[string]int{"a": 5, "b": 5}, nil,
			"the shares stay as they are"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Change(weights.Set{"compose_backend": group(t, c.was)},
				weights.Set{"compose_backend": group(t, c.now)}, c.e)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestChangeOfManyAndHostileServersIsALine(t *testing.T) {
	was, now := map[string]int{}, map[string]int{}
	for i := range 100 {
		name := "\x1b[31m" + strings.Repeat("x", i)
		was[name], now[name] = 1, i+1
	}
	got := Change(weights.Set{"<script>": group(t, was)}, weights.Set{"<script>": group(t, now)}, nil)
	if strings.ContainsAny(got, "\x1b\n") || !strings.Contains(got, "more") {
		t.Errorf("got %q", got)
	}
}

func TestHoldsSayWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name string
		pool tuner.PoolExplanation
		b    Budget
		want string
	}{
		{"a gain that does not pay", tuner.PoolExplanation{Chosen: "hold", PredictedGain: 0.13, Price: 0.2,
			Bounds: []tuner.Bound{gate.BoundGain}},
			Budget{Left: 2, Most: 6}, "no change: 13 % better expected, 20 % needed while 2 of 6 changes are left"},
		{"no budget", tuner.PoolExplanation{Chosen: "hold", PredictedGain: 0.13, Price: -1,
			Bounds: []tuner.Bound{gate.BoundBudget}},
			Budget{Left: 0, Most: 6}, "no change: 13 % better expected, but 0 of 6 changes are left"},
		{"an actuator without a budget", tuner.PoolExplanation{Chosen: "hold", PredictedGain: 0.01, Price: 0.03,
			Bounds: []tuner.Bound{gate.BoundGain}},
			Budget{Unlimited: true}, "no change: 1 % better expected, 3 % needed"},
		{"nothing to gain", tuner.PoolExplanation{Chosen: "hold", PredictedGain: -0.07, Price: 0.12,
			Bounds: []tuner.Bound{gate.BoundGain}},
			Budget{Left: 3, Most: 6}, "no change: nothing better expected, 12 % needed while 3 of 6 changes are left"},
		{"any other hold", tuner.PoolExplanation{Chosen: "hold", Reason: "hold: no requests",
			Bounds: []tuner.Bound{gate.BoundIdle}},
			Budget{}, "no change: no requests"},
		{"a change", tuner.PoolExplanation{Chosen: "change", PredictedGain: 0.4}, Budget{},
			"change: 40 % better expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Hold(&c.pool, c.b); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRatioNamesTheDirection(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after float64
		want          string
	}{
		{"much higher", 100, 220, "p99 2.2 times higher"},
		{"much lower", 220, 100, "p99 2.2 times lower"},
		{"somewhat higher", 100, 118, "p99 18 % higher"},
		{"somewhat lower", 100, 82, "p99 18 % lower"},
		{"the same", 100, 100.1, "p99 unchanged"},
		{"nothing to compare with", 0, 100, "p99 cannot be compared"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Ratio("p99", c.before, c.after); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTextNamesOutcomeAndServers(t *testing.T) {
	e := &tuner.Explanation{Budget: 4, Pools: []tuner.PoolExplanation{{
		Groups: []string{"api"}, Chosen: "hold", Reason: "hold: the weights in force are as good as any",
		Bounds: []tuner.Bound{gate.BoundDeadBand},
		Forecast: &tuner.ForecastExplanation{ExpectedP99MS: tuner.Expected{Hold: 310, Change: 45, Low: 40, High: 60},
			HorizonSec: 60, MeasuredP99MS: 52},
		Servers: []tuner.ServerExplanation{{Server: "a", Slots: 4, Utilisation: 0.8,
			CapacityPerSec: map[string]float64{"api": 160}}},
		Advice: &tuner.Advice{Method: tuner.LeastConn, P99MS: 45, NowMS: 310},
	}}}
	got := Text(e, Budget{Left: 4, Most: 6})
	for _, want := range []string{"4 of 6 changes are left", "No change: the weights in force are as good as any.",
		"Expected p99 310 → 45 ms (90 %: 40 to 60 ms) over 60 s, measured 52 ms.",
		"With least_conn; in NGINX's configuration the p99 would be about 45 ms in place of 310 ms, by the simulator",
		"a: about 4 slots, 80 % used, saturates at 160/s of api"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwithout %q", got, want)
		}
	}
}
