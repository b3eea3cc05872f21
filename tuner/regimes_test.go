package tuner

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench/sim"
	"trimtab/deathstarbench/worlds"
	"trimtab/tuner/load"
)

// inRecurringWorld lets a tuner that observes for ten minutes control a recurring world for some time.
func inRecurringWorld(t *testing.T, seed uint64, lasts time.Duration) (*Tuner, *worlds.World) {
	t.Helper()
	w := worlds.Recurring(seed)
	deadlines := map[string]time.Duration{}
	for _, u := range w.Scenario.Upstreams {
		deadlines[u.Name] = 300 * time.Millisecond
	}
	s, err := sim.New(w.Scenario, sim.Options{Seed: 1, Deadlines: deadlines})
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]GroupConfig{}
	for _, u := range w.Scenario.Upstreams {
		groups[u.Name] = GroupConfig{Deadline: deadlines[u.Name]}
	}
	p, err := New(Config{Groups: groups,
		Regimes: load.RegimeConfig{Observe: 20 * time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	for s.Now() < lasts && !s.Done() {
		sample, err := s.Step()
		if err != nil {
			t.Fatal(err)
		}
		p.Observe(sample, control.InForce(sample))
		d := p.Choose()
		if len(d.Weights) == 0 {
			continue
		}
		settings := map[string]map[string]sim.Setting{}
		for g, set := range d.Weights {
			settings[g] = map[string]sim.Setting{}
			for server, v := range set {
				settings[g][server] = sim.Setting{Weight: v.Weight.Int(), Down: v.Down}
			}
		}
		if err := s.SetWeights(settings); err != nil {
			t.Fatal(err)
		}
		p.Committed(control.Receipt{Want: d.Weights, Changed: true, Reloaded: true})
	}
	return p, w
}

func TestRegimesAreForecastLearnedKeptAndExplained(t *testing.T) {
	if testing.Short() {
		t.Skip("an hour and a half of a simulated day")
	}
	p, w := inRecurringWorld(t, 2, 90*time.Minute)
	f := p.regimes.Forecast()
	if f == nil {
		t.Fatal("no regimes after 90 minutes")
	}
	names := map[string]bool{}
	for _, s := range w.Regimes {
		names[s.Name] = true
	}
	if n := len(f.Demands); n < len(names) || n > 2*len(names) {
		t.Errorf("got %d demands for %d regimes of load", n, len(names))
	}
	e := p.Explain()
	x := e.Pools[0].Experience
	if x == nil || len(e.Pools[0].Demand) < 2 {
		t.Fatalf("got experience %v and demand %v, want both", x, e.Pools[0].Demand)
	}
	if x.Visits == 0 || len(x.Values) == 0 {
		t.Errorf("got %+v, want it to say what was learned", x)
	}
	learned := 0.0
	for _, r := range p.pools[0].experience.regimes {
		learned += r.Visits
	}
	if learned < 3 {
		t.Errorf("got %v visits learned from, want several", learned)
	}
	s, err := p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Snapshot
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	other, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Restore(back); err != nil {
		t.Fatal(err)
	}
	again, err := other.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Forecast, s.Forecast) || !reflect.DeepEqual(again.Pools[0].Regimes, s.Pools[0].Regimes) {
		t.Errorf("what was learned of regimes does not survive a snapshot:\ngot  %+v\nwant %+v", again, s)
	}
	back.Pools[0].Regimes[0].Cells = nil
	if err := other.Restore(back); err == nil {
		t.Error("experience without cells was taken over")
	}
}
