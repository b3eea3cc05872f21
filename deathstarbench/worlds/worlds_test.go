package worlds

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
)

const seeds = 200

// kinds are the generators.
var kinds = []struct {
	name string
	make func(seed uint64) *World
}{
	{"random worlds", Random},
	{"recurring worlds", Recurring},
	{"mesh worlds", Mesh},
}

func TestEveryWorldIsValidRepeatableAndReadBackAsItWasPrinted(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seeds) {
				w := k.make(seed)
				if err := w.Scenario.Validate(); err != nil {
					t.Fatalf("seed %d (%s): %v", seed, w.About, err)
				}
				if again := k.make(seed); !reflect.DeepEqual(again, w) {
					t.Errorf("seed %d: the second time another world", seed)
				}
				text := w.Format()
				back, err := deathstarbench.Parse("w.toml", text)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if !reflect.DeepEqual(back, w.Scenario) {
					t.Errorf("seed %d: read back as another scenario:\n%s", seed, text)
				}
				if !bytes.HasPrefix(text, []byte("# "+w.About+"\n")) || bytes.Contains([]byte(w.About), []byte("\n")) {
					t.Errorf("seed %d: got %q, want what it is made of in the first line", seed, text[:80])
				}
			}
		})
	}
}

func TestLevelsAndRatesLieWithinTheirBounds(t *testing.T) {
	for seed := range uint64(seeds) {
		w := Random(seed)
		peak, err := w.Scenario.Peak()
		if err != nil {
			t.Fatal(err)
		}
		if peak.Best < LowestLevel*0.98 || peak.Best > HighestLevel*1.02 {
			t.Errorf("seed %d: got level %.3f, want %g to %g", seed, peak.Best, LowestLevel, HighestLevel)
		}
		if rate := meanRate(w.Scenario); rate < 0.9*lowestRate || rate > 1.1*highestRate {
			t.Errorf("seed %d: got %.1f requests per second, want %d to %d", seed, rate, lowestRate, highestRate)
		}
		if n := len(w.Scenario.Servers); n < 2 || n > 24 {
			t.Errorf("seed %d: got %d servers, want 2 to 24", seed, n)
		}
		for _, u := range w.Scenario.Upstreams {
			if len(u.Servers) < 2 {
				t.Errorf("seed %d: group %s has %d servers: nothing to balance", seed, u.Name, len(u.Servers))
			}
		}
	}
}

func TestAllKindsOfFaultsLoadsAndServersOccur(t *testing.T) {
	faults, arrivals, methods := map[string]int{}, map[string]int{}, map[string]int{}
	servers, weights, deadlines := map[int]int{}, map[bool]int{}, map[bool]int{}
	for seed := range uint64(seeds) {
		s := Random(seed).Scenario
		for _, f := range s.Faults {
			faults[f.Kind]++
		}
		for _, l := range s.Loads {
			arrivals[l.Arrival]++
		}
		servers[len(s.Servers)]++
		for _, u := range s.Upstreams {
			methods[u.Method]++
			deadlines[u.Deadline > 0]++
			weights[u.Weights[0] == u.Weights[1]]++
		}
	}
	for _, kind := range deathstarbench.FaultKinds() {
		if faults[kind] == 0 {
			t.Errorf("no world has fault %s: got %v", kind, faults)
		}
	}
	for _, kind := range []string{"fixed", "exp", "norm", "zipf"} {
		if arrivals[kind] == 0 {
			t.Errorf("no world has arrivals %s: got %v", kind, arrivals)
		}
	}
	if len(servers) < 15 || len(methods) != 1 || len(weights) != 2 || len(deadlines) != 2 {
		t.Errorf("got sizes %v, methods %v, weights %v, deadlines %v", servers, methods, weights, deadlines)
	}
}

func TestRegimesReturn(t *testing.T) {
	for seed := range uint64(seeds) {
		w := Recurring(seed)
		if h := w.Scenario.Duration.Std(); h < 85*time.Minute || h > 200*time.Minute {
			t.Errorf("seed %d: got %s, want about two to three hours", seed, h)
		}
		times, end := map[string]int{}, time.Duration(0)
		for _, r := range w.Regimes {
			times[r.Name]++
			length := (r.To - r.From).Round(10 * time.Second)
			if r.From != end || length < 3*time.Minute || length > 10*time.Minute {
				t.Errorf("seed %d: %+v after %s: want 3 to 10 minutes without a gap", seed, r, end)
			}
			end = r.To
		}
		if end != w.Scenario.Duration.Std() || len(times) < 3 || len(times) > 4 {
			t.Errorf("seed %d: got regimes %v until %s of %s", seed, times, end, w.Scenario.Duration.Std())
		}
		for name, n := range times {
			if n < returns {
				t.Errorf("seed %d: %s comes %d times, want at least %d", seed, name, n, returns)
			}
		}
	}
}

func TestWeightsByCapacityCarryEveryRegime(t *testing.T) {
	for seed := range uint64(seeds) {
		s := Recurring(seed).Scenario
		weights, highest := byCapacity(s), 0.0
		for _, p := range s.Loads[0].Phases {
			highest = max(highest, slices.Max(s.Utilisation(p.At.Std(), weights)))
		}
		if highest < busyFrom*(1-smallVariation)*0.98 || highest > busyTo*(1+smallVariation)*1.02 {
			t.Errorf("seed %d: got a level of %.3f at the busiest, want about %g to %g", seed, highest, busyFrom,
				busyTo)
		}
	}
}

// What is cheap for one class is dear for the other: the best split depends on which classes are busy.
func TestServersAreFastForDifferentClasses(t *testing.T) {
	for seed := range uint64(seeds) {
		s := Recurring(seed).Scenario
		ratios := map[bool]bool{}
		a, b := s.Upstreams[0].Workload, s.Upstreams[1].Workload
		mean := 0.0
		for _, v := range s.Servers {
			mean += float64(v.Service[a]) / float64(v.Service[b]) / float64(len(s.Servers))
		}
		for _, v := range s.Servers {
			ratios[float64(v.Service[a])/float64(v.Service[b]) > mean] = true
		}
		if len(ratios) != 2 {
			t.Errorf("seed %d: all servers are alike in what they are fast for", seed)
		}
	}
}

func TestEveryWorldPlays(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seeds) {
				w := k.make(seed)
				run, err := sim.New(w.Scenario, sim.Options{Seed: 1})
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				for run.Now() < 20*time.Second {
					if _, err := run.Step(); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
				}
				run.Finish()
				if run.Requests() == 0 {
					t.Errorf("seed %d (%s): no request in 20 s", seed, w.About)
				}
			}
		})
	}
}

func TestKindsAreReadFromWhatAWorldIsMadeOf(t *testing.T) {
	for _, c := range []struct {
		name, about string
		want        []string
	}{
		{"a random world", Random(3).About, []string{"fault=none", "servers=noisy", "load=sine", "start=right"}},
		{"a recurring world", Recurring(3).About, []string{"servers=spread", "start=equal", "story=batch"}},
		{"words of somebody else", "two servers, one twice as large", nil},
		{"nothing", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Kinds(c.about); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
