package tuner_test

import (
	"math"
	"strings"
	"testing"

	"trimtab/deathstarbench/sim"
	"trimtab/words"
)

// What is said of least_conn is what the same world under least_conn shows.
func TestWhatAnotherMethodWouldBring(t *testing.T) {
	const seeds = uint64(3)
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
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			right := uint64(0) // seeds with which what is said is what the case wants
			log := 0.0         // of the p99 under least_conn as a ratio to that of the method, over the seeds
			for seed := range seeds {
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
					p99 := math.Log(sim.Sum(w.Totals()).Latency.Quantile(0.99).Seconds())
					if method != c.method {
						log += p99
						continue
					}
					log -= p99
					last := rows[len(rows)-2].explain
					said := strings.Contains(words.Text(&last, words.Budget{}), "With least_conn; in NGINX's configuration")
					if a := last.Pools[0].Advice; (a != nil) != said {
						t.Errorf("seed %d: got %+v, but in words: %t", seed, a, said)
					}
					if said == c.said {
						right++
					}
				}
			}
			if 2*right <= seeds {
				t.Errorf("said rightly with %d of %d seeds; want it said: %t", right, seeds, c.said)
			}
			if part := math.Exp(log / float64(seeds)); c.said && part > 0.95 || !c.said && part < 0.85 {
				t.Errorf("p99 under least_conn is %.2f of it: what is said is not what is", part)
			}
		})
	}
}
