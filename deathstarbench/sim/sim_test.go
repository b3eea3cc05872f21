package sim

import (
	"math"
	"testing"
	"time"

	"trimtab/deathstarbench"
)

func ms(d float64) deathstarbench.Duration {
	return deathstarbench.Duration(d * float64(time.Millisecond))
}

// one returns a scenario of n servers that share one group of compose-post requests.
func one(n, slots int, mean, cv, rate float64, duration time.Duration) *deathstarbench.Scenario {
	s := &deathstarbench.Scenario{
		Name: "test", Duration: deathstarbench.Duration(duration), ControlInterval: ms(3000),
		Upstreams: []deathstarbench.Upstream{{Name: "compose_backend", Workload: "compose-post"}},
		Loads: []deathstarbench.Traffic{{Workload: "compose-post", Arrival: "exp",
			Phases: []deathstarbench.Phase{{Rate: rate}}}},
	}
	for i := range n {
		name := string(rune('a'+i%26)) + string(rune('0'+i/26))
		s.Servers = append(s.Servers, deathstarbench.Server{Name: name, Slots: slots, ServiceCV: cv,
			Service: map[string]deathstarbench.Duration{"compose-post": ms(mean)}})
		s.Upstreams[0].Servers = append(s.Upstreams[0].Servers, name)
	}
	return s
}

func play(t testing.TB, s *deathstarbench.Scenario, o Options) *Sim {
	t.Helper()
	run, err := New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	for !run.Done() {
		if _, err := run.Step(); err != nil {
			t.Fatal(err)
		}
	}
	run.Finish()
	return run
}

// erlangC is the probability that a request has to wait in M/M/c with the offered load a = λS (Erlang 1917).
func erlangC(c int, a float64) float64 {
	sum, term := 0.0, 1.0
	for k := range c {
		sum += term
		term *= a / float64(k+1)
	}
	last := term * float64(c) / (float64(c) - a)
	return last / (sum + last)
}

func TestClosedFormulas(t *testing.T) {
	const s = 0.010 // mean service time, s
	tests := []struct {
		name  string
		slots int
		cv    float64
		exp   bool
		rho   float64
	}{
		{"M/M/1 at half load", 1, 0, true, 0.5},
		{"M/M/1 at 80 %", 1, 0, true, 0.8},
		{"M/M/4 at 80 %", 4, 0, true, 0.8},
		{"M/M/16 at 90 %", 16, 0, true, 0.9},
		{"M/D/1 at 70 %", 1, 0, false, 0.7},
		{"M/G/1 with cv 0.5 at 70 %", 1, 0.5, false, 0.7},
		{"M/G/1 with cv 1.5 at 60 %", 1, 1.5, false, 0.6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := float64(test.slots)
			rate := test.rho * c / s
			run := play(t, one(1, test.slots, s*1e3, test.cv, rate, time.Duration(4e6/rate*1e9)),
				Options{Seed: 7, ExponentialService: test.exp})
			var wait, mean float64
			if test.exp {
				wait = erlangC(test.slots, test.rho*c)
				mean = s + wait*s/(c*(1-test.rho))
			} else { // Pollaczek–Khinchine
				wait = test.rho
				mean = s + test.rho*s*(1+test.cv*test.cv)/(2*(1-test.rho))
			}
			got := run.Servers()[0]
			if p := float64(got.Waited) / float64(got.Served); math.Abs(p/wait-1) > 0.01 {
				t.Errorf("waiting probability: got %.4f, want %.4f", p, wait)
			}
			if m := Sum(run.Totals()).Latency.Mean().Seconds(); math.Abs(m/mean-1) > 0.01 {
				t.Errorf("mean: got %.6f s, want %.6f s", m, mean)
			}
		})
	}
}

func BenchmarkSim(b *testing.B) {
	for _, bench := range []struct {
		name    string
		servers int
		method  Method
	}{
		{"3 servers round robin", 3, RoundRobin},
		{"3 servers least_conn", 3, LeastConn},
		{"100 servers round robin", 100, RoundRobin},
		{"100 servers least_conn", 100, LeastConn},
	} {
		b.Run(bench.name, func(b *testing.B) {
			rate := float64(bench.servers) * 4 / 0.01 * 0.7
			s := one(bench.servers, 4, 10, 0.5, rate, time.Duration(float64(b.N)/rate*1e9))
			b.ReportAllocs()
			b.ResetTimer()
			run := play(b, s, Options{Seed: 1, Method: bench.method})
			b.ReportMetric(float64(run.Requests())/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
