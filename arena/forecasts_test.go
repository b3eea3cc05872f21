package arena

import (
	"context"
	"math"
	"reflect"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/tuner"
)

func tunedPolicy() Policy {
	return Policy{Name: "tuned", Chooser: "tuned", New: func(_ context.Context, c Case) (control.Policy, error) {
		return tuner.New(tuner.Config{Seed: c.Seed})
	}}
}

// lopsided is a world of two servers, one of them three times as large, that begin with equal weights.
func lopsided(faults ...deathstarbench.Fault) *deathstarbench.Scenario {
	s := &deathstarbench.Scenario{
		Name: "lopsided", Duration: deathstarbench.Duration(300 * time.Second),
		ControlInterval: deathstarbench.Duration(3 * time.Second),
		Upstreams: []deathstarbench.Upstream{{Name: "u", Workload: "w", Servers: []string{"a", "b"},
			Deadline: deathstarbench.Duration(100 * time.Millisecond)}},
		Loads:  []deathstarbench.Traffic{{Workload: "w", Phases: []deathstarbench.Phase{{Rate: 200}}}},
		Faults: faults,
	}
	for i, slots := range []int{4, 12} {
		s.Servers = append(s.Servers, deathstarbench.Server{Name: s.Upstreams[0].Servers[i], Slots: slots,
			ServiceCV: 0.6,
			Service:   map[string]deathstarbench.Duration{"w": deathstarbench.Duration(50 * time.Millisecond)}})
	}
	return s
}

func TestForecastsAreComparedWithWhatClientsSaw(t *testing.T) {
	c := Case{Scenario: lopsided(), Seed: 4, Deadlines: map[string]time.Duration{"u": 100 * time.Millisecond}}
	rows, err := PlayForecasts(t.Context(), c, tunedPolicy(), SimOptions{})
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, r := range rows {
		if r.Unjudged != "" {
			continue
		}
		judged++
		if r.LoadVaries || r.Requests < 10000 || math.Abs(r.P99.Error()) > 0.5 || math.Abs(r.Mean.Error()) > 0.25 {
			t.Errorf("a minute of 200/s at constant load: got %+v", r)
		}
	}
	if judged == 0 {
		t.Errorf("of %d changes none could be judged", len(rows))
	}
}

func TestForecastsAreNotJudgedWhenSomethingElseHappens(t *testing.T) {
	always := deathstarbench.Fault{Server: "b", Kind: deathstarbench.Error, Probability: 0.02,
		Until: deathstarbench.Duration(300 * time.Second)}
	c := Case{Scenario: lopsided(always), Seed: 4, Deadlines: map[string]time.Duration{"u": 100 * time.Millisecond}}
	rows, err := PlayForecasts(t.Context(), c, tunedPolicy(), SimOptions{})
	if err != nil || len(rows) == 0 {
		t.Fatalf("got %d rows, %v", len(rows), err)
	}
	for _, r := range rows {
		if r.Unjudged == "" {
			t.Errorf("a server fails: got a row that is judged: %+v", r)
		}
	}
}

func TestOnlyForecastersAreAsked(t *testing.T) {
	hold := Policy{Name: "start", New: Choosers(nil)["start"]}
	if _, err := PlayForecasts(t.Context(), Case{Scenario: lopsided(), Deadlines: map[string]time.Duration{}},
		hold, SimOptions{}); err == nil {
		t.Error("a policy without forecasts: got no error")
	}
}

func TestSummaryOfForecasts(t *testing.T) {
	value := func(measured float64) ForecastValue {
		return ForecastValue{Median: 100, Low: 80, High: 125,
			Measured: measured}
	}
	rows := []ForecastRow{
		{Policy: "tuned", P99: value(110), Mean: value(100)},
		{Policy: "tuned", P99: value(90), Mean: value(100)},
		{Policy: "tuned", P99: value(150), Mean: value(200), LoadVaries: true},
		{Policy: "tuned", P99: value(900), Unjudged: "a fault"},
		{Policy: "tuned", Unjudged: "the end"},
	}
	got := SummariseForecasts(rows)
	if len(got) != 3 {
		t.Fatalf("steady, varying and any: got %+v", got)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	if s := got[0]; s.Load != "steady" || s.Judged != 2 || !near(s.P99Error, 0.1) || s.P99Covered != 1 {
		t.Errorf("steady: got %+v", s)
	}
	if s := got[1]; s.Load != "varying" || s.Judged != 1 || !near(s.P99Ratio, 1.5) || s.P99Covered != 0 {
		t.Errorf("varying: got %+v", s)
	}
	if s := got[2]; s.Judged != 3 || !near(s.P99Covered, 2.0/3) {
		t.Errorf("any: got %+v", s)
	}
	un := UnjudgedForecasts(rows)
	if want := map[string]int{"a fault": 1, "the end": 1}; len(un) != 1 || un[0].Made != 5 ||
		!reflect.DeepEqual(un[0].By, want) {
		t.Errorf("not judgeable: got %+v", un)
	}
}
