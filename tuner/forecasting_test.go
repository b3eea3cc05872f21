package tuner_test

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/tuner"
	"trimtab/weights"
	"trimtab/words"
)

// uneven is a world of two servers, one of them three times as large, that begin with equal weights.
func uneven() *deathstarbench.Scenario {
	s := &deathstarbench.Scenario{
		Name: "uneven", Duration: deathstarbench.Duration(240 * time.Second),
		ControlInterval: deathstarbench.Duration(3 * time.Second),
		Upstreams:       []deathstarbench.Upstream{{Name: "u", Workload: "w", Servers: []string{"a", "b"}}},
		Loads:           []deathstarbench.Traffic{{Workload: "w", Phases: []deathstarbench.Phase{{Rate: 200}}}},
	}
	for i, slots := range []int{4, 12} {
		s.Servers = append(s.Servers, deathstarbench.Server{Name: s.Upstreams[0].Servers[i], Slots: slots, ServiceCV: 0.6,
			Service: map[string]deathstarbench.Duration{"w": deathstarbench.Duration(50 * time.Millisecond)}})
	}
	return s
}

// tune lets a tuner control a world of whose changes so many are carried out; it returns what was explained in every
// interval.
func tune(t *testing.T, sc *deathstarbench.Scenario, cfg tuner.Config, applied int) (out []tuner.Explanation) {
	t.Helper()
	policy, err := tuner.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run, err := sim.New(sc, sim.Options{Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	for !run.Done() {
		sample, err := run.Step()
		if err != nil {
			t.Fatal(err)
		}
		policy.Observe(sample, control.InForce(sample))
		want := policy.Choose().Weights
		if again := policy.Choose().Weights; !reflect.DeepEqual(want, again) {
			t.Fatalf("asked twice: got %v and %v", want, again)
		}
		out = append(out, policy.Explain())
		if len(want) == 0 || applied == 0 {
			continue
		}
		applied--
		if err := run.SetWeights(settings(want)); err != nil {
			t.Fatal(err)
		}
		policy.Committed(control.Receipt{Want: want, Changed: true, Reloaded: true})
	}
	return out
}

const all = 1000 // changes

func settings(want weights.Set) map[string]map[string]sim.Setting {
	out := map[string]map[string]sim.Setting{}
	for group, servers := range want {
		out[group] = map[string]sim.Setting{}
		for server, s := range servers {
			out[group][server] = sim.Setting{Weight: s.Weight.Int(), Down: s.Down}
		}
	}
	return out
}

func TestForecastsAreMadeAndJudged(t *testing.T) {
	explained := tune(t, uneven(), tuner.Config{Seed: 2}, all)
	var made *tuner.ForecastExplanation
	for _, e := range explained {
		p := e.Pools[0]
		if p.Chosen != "change" {
			continue
		}
		if p.Forecast == nil || p.Forecast.Skipped != "" {
			t.Fatalf("a change is forecast: got %+v", p.Forecast)
		}
		if made == nil {
			made = p.Forecast
			text := words.Text(&e, words.Budget{})
			if !strings.Contains(text, "Expected p99 ") || !strings.Contains(text, " ms (90 %: ") {
				t.Errorf("the explanation says what is expected: got\n%s", text)
			}
		}
	}
	if made == nil {
		t.Fatal("equal weights are bad here: got no change")
	}
	if x := made.ExpectedP99MS; x.Change >= x.Hold || x.Low > x.Change || x.High < x.Change || made.Better < 0.9 {
		t.Errorf("the first change is expected to help: got %+v with probability %.2f", x, made.Better)
	}
	last := explained[len(explained)-1]
	score := last.Pools[0].ForecastScore
	if score == nil || score.Judged == 0 || score.MedianError > 0.3 || score.Covered == 0 {
		t.Fatalf("what came true is kept, and was near: got %+v", score)
	}
	text := words.Text(&last, words.Budget{})
	if !strings.Contains(text, "measured ") || !strings.Contains(text, "forecasts that could be judged") {
		t.Errorf("the explanation says what came true: got\n%s", text)
	}
	b, err := json.Marshal(last)
	if err != nil || !strings.Contains(string(b), `"expected_p99_ms":{"hold":`) || !strings.Contains(string(b),
		`"forecast_score":{"judged":`) {
		t.Errorf("the explanation as data: got %s, %v", b, err)
	}
}

func TestForecastsFollowFromTheSeed(t *testing.T) {
	a, b := tune(t, uneven(), tuner.Config{Seed: 2}, all), tune(t, uneven(), tuner.Config{Seed: 2}, all)
	if !reflect.DeepEqual(a, b) {
		t.Error("the same seed gives the same explanations: got others")
	}
}

func TestForecastsOfChangesThatWereNotMadeAreNotJudged(t *testing.T) {
	explained := tune(t, uneven(), tuner.Config{Seed: 1}, 0)
	if p := explained[len(explained)-1].Pools[0]; p.ForecastScore != nil || p.Forecast == nil {
		t.Errorf("got %+v, want a forecast of what is wanted and no score", p.ForecastScore)
	}
}

// What is measured after a change is that change's, whatever was wanted since and not made.
func TestWhatIsMeasuredIsOfTheChangeThatWasMade(t *testing.T) {
	const applied = 3
	others, judged := 0, 0
	for seed := range uint64(5) { // not every run shows both
		wanted := 0
		var made *tuner.ForecastExplanation
		for _, e := range tune(t, uneven(), tuner.Config{Seed: seed}, applied) {
			f := e.Pools[0].Forecast
			if e.Changed {
				wanted++
			}
			switch {
			case wanted < applied:
			case made == nil:
				made = f
			case f.ExpectedP99MS != made.ExpectedP99MS:
				others++
				if f.MeasuredSec > 0 || f.MeasuredP99MS > 0 {
					t.Errorf("seed %d: a change that was not made: got %+v measured", seed, f)
				}
			case f.MeasuredP99MS > 0:
				judged++
			}
		}
	}
	if others == 0 || judged == 0 {
		t.Errorf("got %d other changes wanted, and %d intervals that show what was measured: nothing to see", others,
			judged)
	}
}

func TestLargePoolsAreNotPlayed(t *testing.T) {
	// 9 groups on 30 servers; those with fewer slots are sent by equal shares 1.5 times what they serve.
	base := uneven()
	sc := &deathstarbench.Scenario{Duration: deathstarbench.Duration(18 * time.Second),
		ControlInterval: base.ControlInterval}
	for i := range 30 {
		s := base.Servers[i%2]
		s.Name = "s" + strconv.Itoa(i)
		s.Service = map[string]deathstarbench.Duration{}
		sc.Servers = append(sc.Servers, s)
	}
	for g := range 9 {
		u := deathstarbench.Upstream{Name: "u" + strconv.Itoa(g), Workload: "w" + strconv.Itoa(g)}
		for i := range sc.Servers {
			sc.Servers[i].Service[u.Workload] = base.Servers[0].Service["w"]
			u.Servers = append(u.Servers, sc.Servers[i].Name)
		}
		sc.Upstreams = append(sc.Upstreams, u)
		sc.Loads = append(sc.Loads, deathstarbench.Traffic{Workload: u.Workload, Phases: []deathstarbench.Phase{{Rate: 400}}})
	}
	skipped := 0
	for _, e := range tune(t, sc, tuner.Config{Seed: 2}, all) {
		if f := e.Pools[0].Forecast; f != nil {
			if f.Skipped == "" {
				t.Fatalf("270 servers in groups: got a forecast: %+v", f)
			}
			skipped++
			if text := words.Text(&e, words.Budget{}); !strings.Contains(text, "not forecast: 270 servers") {
				t.Errorf("the explanation says why: got\n%.600s", text)
			}
		}
	}
	if skipped == 0 {
		t.Error("got no change: the test shows nothing")
	}
}
