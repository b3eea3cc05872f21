package tuner_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/tuner"
)

// ejecting lets a tuner mark servers down where weights do not keep requests away from them.
func ejecting(c *tuner.Config) { c.EjectIdle = true }

// The rest of a pool that is asked for two thirds of what it serves can carry what a server fails, and nearly all of it
// is carried there: the plain method sends the one that fails at once ever more.
func TestAServerThatFailsAtOnceIsEjected(t *testing.T) {
	for _, method := range []string{"least_conn", "least_time"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, scenario(t, "fast-failures"), 1, method)
			for _, iv := range run(t, w, tunerFor(t, scenario(t, "fast-failures"), method, ejecting)) {
				if iv.end > 54*time.Second && iv.end <= 66*time.Second && iv.errors > 0.02 {
					t.Errorf("at %v: %.1f %% errors, want at most 2 %%", iv.end, 100*iv.errors)
				}
			}
		})
	}
}

// One of two servers fails all that it is sent for a minute and a half. It is left out to see what the other carries,
// and, since that is two fifths or a tenth of the load, hardly again. The other one never is.
func TestWhatTheOtherCannotCarryIsHardlyTried(t *testing.T) {
	for _, c := range []struct {
		slots       []int
		least, most int // times that the one that fails is left out
	}{
		{[]int{6, 3}, 1, 2},
		{[]int{24, 2}, 1, 2},
	} {
		for _, method := range []string{"least_conn", "least_time"} {
			t.Run(fmt.Sprint(c.slots, method), func(t *testing.T) {
				t.Parallel()
				for seed := uint64(1); seed <= 5; seed++ {
					sc := servers(c.slots, []float64{1, 1}, 0.82, 170*time.Second)
					sc.Faults = []deathstarbench.Fault{{Server: "s00", Kind: deathstarbench.Error, Probability: 1,
						Latency: ms(5), At: ms(60_000), Until: ms(150_000)}}
					w, p := newWorld(t, sc, seed, method), tunerFor(t, sc, method, ejecting)
					times, out := 0, false
					w.stepped = func() {
						ejected := fmt.Sprint(p.Ejected())
						if strings.Contains(ejected, "s01") {
							t.Errorf("seed %d: the only server that answers is marked down after %v", seed, w.Now())
						}
						was := out
						if out = strings.Contains(ejected, "s00"); out && !was {
							times++
						}
					}
					run(t, w, p)
					if times < c.least || times > c.most {
						t.Errorf("seed %d: got it left out %d times, want %d to %d", seed, times, c.least, c.most)
					}
				}
			})
		}
	}
}

// One of two servers dies, and the other, asked for more than it serves, refuses what it cannot hold: to mark it down
// as well would be an outage.
func TestTheLastServerThatAnswersIsNotEjected(t *testing.T) {
	sc := servers([]int{6, 6}, []float64{1, 1}, 0.75, 2*time.Minute)
	for i := range sc.Servers {
		sc.Servers[i].QueueLimit = 20
	}
	sc.Faults = []deathstarbench.Fault{{Server: "s01", Kind: deathstarbench.Down, At: ms(60_000), Until: ms(105_000)}}
	out := 0
	for seed := range uint64(5) {
		w := newWorld(t, sc, 1+seed, "least_conn")
		for _, iv := range run(t, w, tunerFor(t, sc, "least_conn", ejecting)) {
			if iv.errors > 0.6 {
				out++
			}
		}
	}
	if out > 5 {
		t.Errorf("got %d intervals without service in 5 runs, want one for each at most", out)
	}
}

// While one of three servers is out for its failures the others begin to fail everything: it is let back before its
// time.
func TestAnEjectedServerIsLetBackWhenAllOthersFail(t *testing.T) {
	sc := servers([]int{4, 4, 4}, []float64{1, 1, 1}, 0.4, 2*time.Minute)
	fault := func(server string, at, until float64) deathstarbench.Fault {
		return deathstarbench.Fault{Server: server, Kind: deathstarbench.Error, Probability: 1, Latency: ms(1), At: ms(at),
			Until: ms(until)}
	}
	sc.Faults = []deathstarbench.Fault{fault("s00", 60_000, 64_000), fault("s01", 69_000, 110_000),
		fault("s02", 69_000, 110_000)}
	w := newWorld(t, sc, 1, "least_conn")
	ejected := false
	for _, iv := range run(t, w, tunerFor(t, sc, "least_conn", ejecting)) {
		down := iv.weights["compose_backend"]["s00"].Down
		ejected = ejected || down
		if iv.end >= 78*time.Second && down {
			t.Fatalf("at %v: the only server that answers is out", iv.end)
		}
	}
	if !ejected {
		t.Error("the first server that fails was not ejected: nothing to let back")
	}
}

// One of two servers fails all it is asked, and the other cannot carry the load: it is better off with what the first
// one refuses. While the other hardly waits, so that nobody knows what it can carry, the first is left out once in a
// while, and let back before a queue is long.
func TestAFailingServerThatCannotBeSparedIsNotLeftOutForLong(t *testing.T) {
	for _, c := range []struct {
		level   float64
		latency deathstarbench.Duration // of a failure
	}{{0.75, ms(1)}, {0.85, ms(25)}} {
		for _, method := range []string{"least_conn", "least_time", "round_robin"} {
			t.Run(fmt.Sprint(method, " ", c.level), func(t *testing.T) {
				t.Parallel()
				sc := servers([]int{4, 4}, []float64{1, 1}, c.level, 2*time.Minute)
				sc.Faults = []deathstarbench.Fault{{Server: "s00", Kind: deathstarbench.Error, Probability: 1,
					Latency: c.latency, At: ms(60_000), Until: ms(105_000)}}
				w := newWorld(t, sc, 1, method)
				slow := 0
				for _, iv := range run(t, w, tunerFor(t, sc, method, ejecting)) {
					if iv.end > 60*time.Second && iv.end <= 105*time.Second && iv.p99 > 500*time.Millisecond {
						slow++
					}
				}
				if slow > 5 {
					t.Errorf("got %d intervals of 15 beyond half a second, want five at most", slow)
				}
			})
		}
	}
}
