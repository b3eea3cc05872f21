package deathstarbench

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestUtilisation(t *testing.T) {
	s, err := Parse("x.toml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why     string
		at      time.Duration
		weights map[string][]int
		want    []float64 // of a and b
	}{
		// 20/s composes, three quarters of them on a: 15 · 40 ms / 2 slots, 5 · 10 ms / 1 slot
		{"the scenario's own weights", 0, nil, []float64{0.3, 0.05}},
		// half each: 10 · 40 ms / 2, 10 · 10 ms
		{"equal weights", 0, map[string][]int{"compose_backend": {1, 1}}, []float64{0.2, 0.1}},
		// 40/s composes, and 30/s home timelines on b, 5 ms each
		{"two workloads share b", 35 * time.Second, nil, []float64{0.6, 0.1 + 0.15}},
		{"weights that say nothing", 0, map[string][]int{"compose_backend": {0, 0}}, []float64{0, 0}},
	} {
		got := s.Utilisation(c.at, c.weights)
		for i := range c.want {
			if math.Abs(got[i]-c.want[i]) > 1e-9 {
				t.Errorf("%s: got %v, want %v", c.why, got, c.want)
				break
			}
		}
	}
}

func TestBestUtilisation(t *testing.T) {
	s, err := Parse("x.toml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	// x of 20/s composes on a: 0.4 x = 0.2 (1−x) at x = 1/3.
	if got, err := s.BestUtilisation(0); err != nil || math.Abs(got-0.4/3) > 1e-9 {
		t.Errorf("one workload: got %g, %v, want %g", got, err, 0.4/3)
	}
	// 40/s composes and b's 0.15 of home timelines: 0.8 x = 0.4 (1−x) + 0.15 at x = 0.55/1.2.
	if got, err := s.BestUtilisation(35 * time.Second); err != nil || math.Abs(got-0.8*0.55/1.2) > 1e-9 {
		t.Errorf("two workloads: got %g, %v, want %g", got, err, 0.8*0.55/1.2)
	}
	if got, err := s.BestUtilisation(-time.Second); err != nil || got != 0 {
		t.Errorf("no load: got %g, %v, want 0", got, err)
	}
}

// What the comments of the library say about utilisation is so, and every load can be carried.
func TestLibraryScenariosCanBeCarried(t *testing.T) {
	for name, want := range map[string]struct{ equal, best float64 }{
		"capacity-1-2-4":    {1.63, 0.70},
		"capacity-1-2-4-40": {0.93, 0.40},
		"capacity-1-2-4-85": {1.98, 0.85},
		"class-speeds":      {1.05, 0.37},
		"identical":         {0.65, 0.65},
		"sixteen":           {8.80, 0.62},
	} {
		peak := mustPeak(t, name)
		if math.Abs(peak.Equal-want.equal) > 0.01 || math.Abs(peak.Best-want.best) > 0.01 {
			t.Errorf("%s: got %.3f with equal weights and %.3f at best, want %.2f and %.2f", name, peak.Equal,
				peak.Best, want.equal, want.best)
		}
	}
	for _, name := range Names() {
		if peak := mustPeak(t, name); peak.Best >= 0.9 || peak.Rate > 700 {
			t.Errorf("%s: got %.2f of the busiest server at best and %.0f requests/s: want less than 0.9 and a rate "+
				"for two cores", name, peak.Best, peak.Rate)
		}
	}
}

func mustPeak(t *testing.T, name string) Peak {
	t.Helper()
	s, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	peak, err := s.Peak()
	if err != nil {
		t.Fatal(err)
	}
	return peak
}

func TestLibraryHasWhatItShould(t *testing.T) {
	names := Names()
	for _, name := range []string{"capacity-1-2-4", "capacity-1-2-4-40", "capacity-1-2-4-85", "class-speeds", "distant",
		"regimes", "brown-out",
		"fast-failures", "server-down", "identical", "sixteen", "slow-drift", "daily-sine", "randomised", "region"} {
		if !slices.Contains(names, name) {
			t.Errorf("no scenario %s", name)
		}
	}
	region, err := Load("region")
	if err != nil {
		t.Fatal(err)
	}
	// between regions; each workload's clients sit in one
	matrix := [3][3]float64{{0, 0.5, 1}, {0.5, 0, 0.75}, {1, 0.75, 0}}
	for i := range region.Servers {
		for j, w := range Workloads() {
			if got, want := region.Servers[i].Delay(w),
				time.Duration(matrix[j][i]*40*float64(time.Millisecond)); got != want {
				t.Errorf("region: delay from the clients of %s to %s: got %s, want %s", w, region.Servers[i].Name, got,
					want)
			}
		}
	}
	kinds := map[string]bool{}
	for _, name := range names {
		s, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Loads {
			kinds[s.Loads[i].Arrival] = true
		}
	}
	if len(kinds) != 4 {
		t.Errorf("got arrival processes %v in the library, want all four", kinds)
	}
}
