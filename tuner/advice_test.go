package tuner_test

import (
	"fmt"
	"strings"
	"testing"

	"trimtab/deathstarbench/sim"
)

// What is said of least_conn is what the same world under least_conn shows.
func TestWhatAnotherMethodWouldBring(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for _, c := range []struct {
		name, scenario, method string
		load                   float64 // of the scenario's
		said                   bool
	}{
		{"servers that are nearly full", "capacity-1-2-4-85", "round_robin", 1.1, true},
		{"classes that least_conn cannot tell apart", "class-speeds", "round_robin", 1, false},
		{"few requests", "low-rates", "round_robin", 0.3, false},
		{"it is least_conn already", "mixed-hardware", "least_conn", 0.7, false},
	} {
		for seed := range seeds {
			t.Run(fmt.Sprintf("%s, seed %d", c.name, seed), func(t *testing.T) {
				t.Parallel()
				p99 := map[string]float64{}
				for _, method := range []string{c.method, "least_conn"} {
					sc := scenario(t, c.scenario)
					for i := range sc.Loads {
						for j := range sc.Loads[i].Phases {
							sc.Loads[i].Phases[j].Rate *= c.load
						}
					}
					sc.Duration, sc.Warmup = ms(400e3), ms(200e3)
					w := newWorld(t, sc, seed, method)
					rows := run(t, w, tunerFor(t, sc, method, nil))
					p99[method] = sim.Sum(w.Totals()).Latency.Quantile(0.99).Seconds()
					if method != c.method {
						continue
					}
					last := rows[len(rows)-2].explain
					said := strings.Contains(last.Text(), "least_conn; in NGINX's configuration would bring the p99")
					if a := last.Pools[0].Advice; (a != nil) != c.said || said != c.said {
						t.Errorf("got %+v, want it said: %t\n%s", a, c.said, last.Text())
					}
				}
				if part := p99["least_conn"] / p99[c.method]; c.said && part > 0.95 || !c.said && part < 0.85 {
					t.Errorf("p99 %v: what is said is not what is", p99)
				}
			})
		}
	}
}
