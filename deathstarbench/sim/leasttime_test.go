package sim

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trimtab/deathstarbench"
)

func TestLeastTimeAverage(t *testing.T) {
	for _, c := range []struct {
		name         string
		avg, v, want uint64
	}{
		{"the first value is taken as it is", 0, 40, 40},
		{"a first value of 0 leaves it unknown", 0, 0, 0},
		{"a value 9 above does not move it: 100.45 rounds to 100", 100, 109, 100},
		{"a value 10 above moves it by 1: 100.5 rounds to 101", 100, 110, 101},
		{"a value 10 below does not move it: 99.5 rounds to 100", 100, 90, 100},
		{"a value 11 below moves it by 1: 99.45 rounds to 99", 100, 89, 99},
		{"a value has a share of 5 %", 1000, 0, 950},
		{"the two shares are added before the half: the other order rounds to 10", 9, 19, 9},
		{"a wrapped age is kept as it is", 0, 1<<64 - 1, 1<<64 - 1},
		{"a wrapped age moves it by 2⁶⁴/20", 30, 1<<64 - 1, 922337203685477632},
		{"it never passes 2⁶⁴", 1<<64 - 1, 1<<64 - 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.avg
			if average(&got, c.v); got != c.want {
				t.Errorf("average of %d with %d: got %d, want %d", c.avg, c.v, got, c.want)
			}
		})
	}
}

// TestLeastTimePicks holds picks worked out by hand: of class(time)·(1+active)/weight, the least.
func TestLeastTimePicks(t *testing.T) {
	type server struct {
		response uint64 // ms
		active   int32
		weight   int
	}
	for _, c := range []struct {
		name    string
		servers []server
		want    int
	}{
		{"unknown times count as 20 ms: 20·3, 20·2, 20·3", []server{{0, 2, 1}, {0, 1, 1}, {0, 2, 1}}, 1},
		{"a time goes up to the next 20 ms: 40·1 against 20·1", []server{{20, 0, 1}, {19, 0, 1}}, 1},
		{"times in one class are equal, active requests decide: 40·2 against 40·1", []server{{21, 1, 1}, {39, 0, 1}}, 1},
		{"a time of 80 ms is worth four of 20: 100·1 against 40·3", []server{{80, 0, 1}, {25, 2, 1}}, 0},
		{"a weight divides the cost: 60·4/4 against 60·2/1", []server{{50, 1, 1}, {50, 3, 4}}, 1},
		{"a weight does not make up for five times the time: 500·1/4 against 100·1/1", []server{{490, 0, 4}, {90, 0, 1}}, 1},
		{"weights 1:2:4, equal times: 60·2/1, 60·4/2, 60·7/4", []server{{50, 1, 1}, {50, 3, 2}, {50, 6, 4}}, 2},
		{"above 5 s active requests decide: 5000·2 against 5000·1", []server{{5001, 1, 1}, {60000, 0, 1}}, 1},
		{"5 s itself is worse than more: 5020 against 5000", []server{{5000, 0, 1}, {9000, 0, 1}}, 1},
		{"equal costs go by smooth round robin, the greatest weight first: 60·1/1, 60·3/3", []server{{50, 0, 1}, {50, 2, 3}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			weights := make([]int, len(c.servers))
			for i, s := range c.servers {
				weights[i] = s.weight
			}
			g := balancer(t, LeastTimeNoInflight, 1, weights...)
			for i, s := range c.servers {
				g.timings[i].response, g.peers[i].conns = s.response, s.active
			}
			if got := g.pick(0); got != c.want {
				t.Errorf("got server %d, want %d", got, c.want)
			}
		})
	}
}

// reference states least_time once more, from what it means: it keeps every request, and calculates with fractions.
type reference struct {
	inflight              bool
	maxFails, failTimeout int64
	peers                 []referencePeer
}

type referencePeer struct {
	weight, current, effective int64
	fails, accessed, checked   int64
	active                     int64
	response, age              uint64
	began                      []int64 // ms; of the requests in flight
	lost                       int64   // ms; ages of failed requests, kept until none is in flight
}

// mean5 is the moving average with every operation rounded to 53 bits.
func mean5(avg, v uint64) uint64 {
	if avg == 0 {
		return v
	}
	f := func(x float64) *big.Float { return new(big.Float).SetPrec(53).SetFloat64(x) }
	mul := func(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(53).Mul(a, b) }
	add := func(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(53).Add(a, b) }
	sum, _ := add(f(0.5), add(mul(f(float64(v)), f(0.05)), mul(f(float64(avg)), f(0.95)))).Uint64()
	return sum
}

func (p *referencePeer) cost(r *reference, now int64) *big.Rat {
	time := p.response
	if idle := now - p.checked; idle > r.failTimeout {
		for range idle / (r.failTimeout + 1) {
			time /= 2
		}
	}
	if len(p.began) > 0 && p.age > time {
		time = p.age
	}
	if time > 5000 {
		time = 5000
	} else {
		time = (time/20 + 1) * 20
	}
	return big.NewRat(int64(time)*(1+p.active), p.weight)
}

// pick picks at the time ms a server that this request has not tried.
func (r *reference) pick(ms int64, tried []bool) int {
	now := ms / 1000
	var usable []int
	costs := make([]*big.Rat, len(r.peers))
	best := none
	for i := range r.peers {
		p := &r.peers[i]
		if tried[i] || r.maxFails > 0 && p.fails >= r.maxFails && now-p.checked <= r.failTimeout {
			continue
		}
		if n := int64(len(p.began)); n > 0 {
			sum := p.lost
			for _, b := range p.began {
				sum += ms - b
			}
			p.age = mean5(p.age, uint64(sum/n))
		}
		usable, costs[i] = append(usable, i), p.cost(r, now)
		if best == none || costs[i].Cmp(costs[best]) < 0 {
			best = i
		}
	}
	if best == none {
		return none
	}
	if slices.ContainsFunc(usable, func(i int) bool { return i != best && costs[i].Cmp(costs[best]) == 0 }) {
		best = r.tie(usable[slices.Index(usable, best):], costs, best)
	}
	p := &r.peers[best]
	if r.inflight {
		p.began = append(p.began, ms)
	}
	if now-p.checked > r.failTimeout {
		p.checked = now
	}
	p.active++
	return best
}

// tie is smooth weighted round robin among equals. A peer counts as equal when its cost per weight is the least cost
// divided by the weight of the best so far, which need not be the weight that the least cost is of.
func (r *reference) tie(usable []int, costs []*big.Rat, best int) int {
	least := new(big.Rat).Mul(costs[best], big.NewRat(r.peers[best].weight, 1))
	total := int64(0)
	for _, i := range usable {
		p := &r.peers[i]
		if new(big.Rat).Mul(costs[i], big.NewRat(r.peers[best].weight, 1)).Cmp(least) != 0 {
			continue
		}
		p.current += p.effective
		total += p.effective
		p.effective = min(p.effective+1, max(p.weight, p.effective))
		if p.current > r.peers[best].current {
			best = i
		}
	}
	r.peers[best].current -= total
	return best
}

func (r *reference) end(i int, began, ms int64, how ending) {
	p, now := &r.peers[i], ms/1000
	if r.inflight {
		k := slices.Index(p.began, began)
		p.began = slices.Delete(p.began, k, k+1)
		switch {
		case len(p.began) == 0:
			p.lost = 0
		case how == failed:
			p.lost += ms - began + 1
		}
	}
	if how == answered {
		p.response = mean5(p.response, uint64(ms-began))
	}
	if how == failed {
		p.fails, p.accessed, p.checked = p.fails+1, now, now
		if r.maxFails > 0 {
			p.effective = max(0, p.effective-p.weight/r.maxFails)
		}
	} else if p.accessed < p.checked {
		p.fails = 0
	}
	p.active--
}

func TestLeastTimeIsItsRule(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		weights := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 4), rapid.IntRange(1, 100)), 2, 6).Draw(rt, "weights")
		method := rapid.SampledFrom([]Method{LeastTime, LeastTimeNoInflight}).Draw(rt, "method")
		r := &reference{inflight: method == LeastTime, maxFails: rapid.Int64Range(0, 3).Draw(rt, "max_fails"),
			failTimeout: rapid.Int64Range(1, 10).Draw(rt, "fail_timeout")}
		for _, w := range weights {
			r.peers = append(r.peers, referencePeer{weight: int64(w), effective: int64(w)})
		}
		maxFails := int(r.maxFails)
		if maxFails == 0 {
			maxFails = -1
		}
		g := balancer(t, method, maxFails, weights...)
		g.failTimeout = r.failTimeout
		type attempt struct {
			peer  int
			began int64
			tried []bool
		}
		var flying []attempt
		ms := int64(0)
		step := rapid.SampledFrom([]int64{3, 30, 300, 3000}).Draw(rt, "step")
		send := func(tried []bool) {
			copy(g.tried, tried)
			got, want := g.pick(ms*1e6), r.pick(ms, tried)
			clear(g.tried)
			if got != want {
				rt.Fatalf("at %d ms: got server %d, want %d", ms, got, want)
			}
			if got == none {
				return
			}
			g.peers[got].conns++
			tried = slices.Clone(tried)
			tried[got] = true
			flying = append(flying, attempt{got, ms, tried})
		}
		for range rapid.IntRange(1, 150).Draw(rt, "events") {
			ms += rapid.Int64Range(0, step).Draw(rt, "ms")
			if len(flying) == 0 || rapid.IntRange(0, 99).Draw(rt, "event") < 52 {
				send(make([]bool, len(weights)))
				continue
			}
			k := rapid.IntRange(0, len(flying)-1).Draw(rt, "attempt")
			a := flying[k]
			flying = slices.Delete(flying, k, k+1)
			how := rapid.SampledFrom([]ending{answered, answered, answered, answered, abandoned, failed}).Draw(rt, "how")
			g.measure(a.peer, g.epoch, a.began*1e6, ms*1e6, how)
			g.done(a.peer, g.epoch, how == failed, ms*1e6)
			r.end(a.peer, a.began, ms, how)
			if how == failed {
				send(a.tried)
			}
		}
	})
}

// TestLeastTimeShares checks the rule of thumb of docs/model.md: at balance (1 + n)·R/w is the same for all
// servers, R being the mean of the classes that a response time r is in, about r + 10 ms; n = λr gives the shares.
func TestLeastTimeShares(t *testing.T) {
	times := []float64{30, 60, 120} // ms; every server has a slot for everyone
	for _, weights := range [][]int{{1, 1, 1}, {1, 2, 4}, {4, 2, 1}, {10, 30, 20}} {
		for _, method := range []Method{LeastTime, LeastTimeNoInflight} {
			t.Run(fmt.Sprint(method, weights), func(t *testing.T) {
				t.Parallel()
				sc := one(3, 100000, 1, 0.5, 3000, time.Minute)
				sc.Upstreams[0].Weights = weights
				want, total := make([]float64, 3), 0.0
				for i, r := range times {
					sc.Servers[i].Service[deathstarbench.ComposePost] = ms(r)
					want[i] = float64(weights[i]) / ((r + 10) * r)
					total += want[i]
				}
				run := play(t, sc, Options{Seed: 1, Method: method})
				for i, s := range run.Servers() {
					if got, want := float64(s.Served)/float64(run.Requests()), want[i]/total; math.Abs(got-want) > 0.01 {
						t.Errorf("share of the server of %v ms: got %.3f, want %.3f", times[i], got, want)
					}
				}
			})
		}
	}
}

// TestReloadForgetsTimes: the workers of a new configuration begin without times, and with requests in flight that
// belong to the old ones.
func TestReloadForgetsTimes(t *testing.T) {
	g := balancer(t, LeastTime, 1, 1, 1)
	g.timings[0].response, g.timings[1].response = 20, 900
	g.peers[1].conns, g.timings[1].inFlight = 3, 3
	g.restart(false)
	if fmt.Sprint(g.timings) != fmt.Sprint(make([]timing, 2)) || g.peers[1].conns != 0 {
		t.Errorf("after a reload: got %v with %d active, want nothing known", g.timings, g.peers[1].conns)
	}
	g.timings[0].response = 20
	if g.restart(true); g.timings[0].response != 20 {
		t.Error("weights changed in place keep the times: got them forgotten")
	}
}

// TestClocksBehind: ages that wrap put a server behind all others for hundreds of picks, which costs tail latency with
// inflight and nothing without.
func TestClocksBehind(t *testing.T) {
	sc, err := deathstarbench.Load("capacity-1-2-4-85")
	if err != nil {
		t.Fatal(err)
	}
	sc.Duration = deathstarbench.Duration(3 * time.Minute)
	p99 := func(m Method, behind float64) time.Duration {
		return Sum(play(t, sc, Options{Seed: 1, Method: m, ClocksBehind: behind}).Totals()).Latency.Quantile(0.99)
	}
	one, several := p99(LeastTime, 0), p99(LeastTime, 0.005)
	if several < one*5/4 {
		t.Errorf("0.5 %% of the picks on an old clock raise the p99 by a quarter or more: got %v from %v", several, one)
	}
	one, several = p99(LeastTimeNoInflight, 0), p99(LeastTimeNoInflight, 0.005)
	if several > one*21/20 {
		t.Errorf("without inflight an old clock does no harm: got a p99 of %v from %v", several, one)
	}
}
