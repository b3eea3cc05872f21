package plan

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"trimtab/objective"
	"trimtab/tuner/estimate"
	"trimtab/tuner/params"
	"trimtab/weights"
)

// known is a server of so many slots that serves a request of each class in so many seconds.
func known(slots float64, serviceSec ...float64) estimate.Belief {
	b := estimate.Belief{Known: true, SD: make([]float64, len(serviceSec)), Fail: make([]float64, len(serviceSec))}
	b.Slots = []estimate.Hypothesis{{Slots: slots, Probability: 1, ServiceSec: serviceSec}}
	return b
}

var table = objective.NewTable()

// problem is one group on the servers given, at a share of all their capacity.
func problem(m Method, use float64, beliefs ...estimate.Belief) *Problem {
	par := params.Default()
	p := &Problem{Params: &par, Table: table, Beliefs: beliefs, ErrorTardiness: objective.DefaultErrorTardiness}
	g, capacity := Group{Method: m, DeadlineSec: 0.06, SCV: 0.3}, 0.0
	for j := range beliefs {
		g.Links = append(g.Links, Link{Server: j})
		capacity += beliefs[j].Capacity(0)
	}
	g.RatePerSec = use * capacity
	p.Groups = []Group{g}
	return p
}

// best is the least cost over shares in steps of 1/n.
func best(p *Problem, n int) (least float64, at []float64) {
	least = math.Inf(1)
	x := p.NewShares()
	try := func() {
		if c := p.Cost(x); c < least {
			least, at = c, append([]float64(nil), x[0]...)
		}
	}
	for i := 1; i < n; i++ {
		x[0][0] = float64(i) / float64(n)
		if len(x[0]) == 2 {
			x[0][1] = 1 - x[0][0]
			try()
			continue
		}
		for j := 1; i+j < n; j++ {
			x[0][1], x[0][2] = float64(j)/float64(n), float64(n-i-j)/float64(n)
			try()
		}
	}
	return least, at
}

func TestSolveAgainstBruteForce(t *testing.T) {
	unsure := known(4, 0.02)
	unsure.Slots = []estimate.Hypothesis{{Slots: 2, Probability: 0.5, ServiceSec: []float64{0.02}},
		{Slots: 8, Probability: 0.5, ServiceSec: []float64{0.02}}}
	failing := known(4, 0.02)
	failing.Fail = []float64{0.2}
	full := known(4, 0.02)
	full.Inside, full.Done = 200, 200
	for _, c := range []struct {
		name    string
		beliefs []estimate.Belief
	}{
		{"two alike", []estimate.Belief{known(4, 0.02), known(4, 0.02)}},
		{"one of twice the slots", []estimate.Belief{known(4, 0.02), known(8, 0.02)}},
		{"one half as fast", []estimate.Belief{known(8, 0.04), known(4, 0.02)}},
		{"one of which little is sure", []estimate.Belief{unsure, known(4, 0.02)}},
		{"one that fails a fifth", []estimate.Belief{failing, known(4, 0.02)}},
		{"one with a backlog", []estimate.Belief{full, known(8, 0.02)}},
		{"three of 1:2:4", []estimate.Belief{known(2, 0.02), known(4, 0.02), known(8, 0.02)}},
		{"three of unlike speeds", []estimate.Belief{known(4, 0.05), known(4, 0.02), known(16, 0.03)}},
	} {
		for _, m := range []Method{RoundRobin, LeastConn} {
			for _, use := range []float64{0.2, 0.6, 0.9, 1.2} {
				t.Run(fmt.Sprintf("%s, %s at %.0f %%", c.name, m, 100*use), func(t *testing.T) {
					p := problem(m, use, c.beliefs...)
					p.Params.Pull, p.Params.PullAware = 0.2, 0.2 // brute force knows no price
					n := 200
					if len(c.beliefs) == 3 {
						n = 60
					}
					want, at := best(p, n)
					x := p.Solve(p.Proportional())
					if got := p.Cost(x); got > want+0.025 {
						t.Errorf("got cost %.4f at %.3f, brute force finds %.4f at %.3f", got, x[0], want, at)
					}
				})
			}
		}
	}
}

// drawProblem draws up to three groups on up to five servers.
func drawProblem(t *rapid.T) *Problem {
	par := params.Default()
	p := &Problem{Params: &par, Table: table, ErrorTardiness: 10}
	groups, method := rapid.IntRange(1, 3).Draw(t, "groups"), rapid.SampledFrom([]Method{RoundRobin, LeastConn,
		LeastTime}).Draw(t, "method")
	for range rapid.IntRange(1, 5).Draw(t, "servers") {
		b := estimate.Belief{Fail: make([]float64, groups), SD: make([]float64, groups),
			Inside: rapid.Float64Range(0, 50).Draw(t, "inside")}
		n := rapid.IntRange(1, 3).Draw(t, "hypotheses")
		for range n {
			h := estimate.Hypothesis{Slots: rapid.SampledFrom([]float64{1, 2, 4, 8, 32}).Draw(t, "slots"),
				Probability: 1 / float64(n)}
			for range groups {
				h.ServiceSec = append(h.ServiceSec, rapid.Float64Range(0.002, 0.2).Draw(t, "service"))
			}
			b.Slots = append(b.Slots, h)
		}
		for k := range b.Fail {
			b.Fail[k] = rapid.Float64Range(0, 1).Draw(t, "fail")
		}
		p.Beliefs = append(p.Beliefs, b)
	}
	for g := range groups {
		group := Group{Method: method, RatePerSec: rapid.Float64Range(0, 500).Draw(t, "rate"),
			DeadlineSec: rapid.Float64Range(0.01, 0.5).Draw(t, "deadline"),
			SCV:         rapid.Float64Range(0, 4).Draw(t, "scv")}
		for j := range p.Beliefs {
			group.Links = append(group.Links, Link{Server: j, Class: g, Off: j > 0 &&
				rapid.IntRange(0, 5).Draw(t, "off") == 0})
		}
		p.Groups = append(p.Groups, group)
	}
	if rapid.Bool().Draw(t, "demand") {
		p.Demand = []Demand{{Load: 1.15, Probability: 0.2}, {Load: rapid.Float64Range(1, 10).Draw(t, "load"),
			Probability: 0.8}}
	}
	return p
}

func TestSolveNeverCostsMoreThanWhereItBegan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t)
		start := p.Proportional()
		x := p.Solve(start)
		if a, b := p.Cost(start), p.Cost(x); !(b <= a+0.05) || math.IsNaN(b) {
			t.Fatalf("cost %v from %v", b, a)
		}
		for g := range x {
			sum := 0.0
			for i, l := range p.Groups[g].Links {
				if !(x[g][i] >= 0) || l.Off && x[g][i] != 0 {
					t.Fatalf("group %d: share %v of a server that is off: %t", g, x[g][i], l.Off)
				}
				sum += x[g][i]
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Fatalf("group %d: shares sum to %v", g, sum)
			}
		}
	})
}

func TestGradientAgainstDifferences(t *testing.T) {
	const step = 1e-6
	for _, c := range []struct {
		name   string
		method Method
		use    float64
		demand []Demand
		most   float64 // relative error
	}{
		{"least connections at 60 %", LeastConn, 0.6, nil, 0.02},
		{"least connections at 90 %", LeastConn, 0.9, nil, 0.02},
		{"least connections beyond full use", LeastConn, 1.3, nil, 0.02},
		{"least connections for a load that may come", LeastConn, 0.5,
			[]Demand{{Load: 1.15, Probability: 0.2}, {Load: 1.8, Probability: 0.8}}, 0.02},
		{"round robin at 60 %", RoundRobin, 0.6, nil, 0.02},
		{"round robin at 90 %", RoundRobin, 0.9, nil, 0.02},
		{"round robin beyond full use", RoundRobin, 1.3, nil, 0.02},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := problem(c.method, c.use, known(2, 0.02), known(4, 0.03), known(8, 0.025))
			p.Demand = c.demand
			x, grad := Shares{{0.15, 0.3, 0.55}}, p.NewShares()
			p.evaluator().cost(x, grad)
			for i := range x[0] {
				y := Shares{append([]float64(nil), x[0]...)}
				y[0][i] += step
				up := p.Cost(y)
				y[0][i] -= 2 * step
				want := (up - p.Cost(y)) / (2 * step)
				if got := grad[0][i]; math.Abs(got-want) > c.most*math.Abs(want)+0.02 {
					t.Errorf("server %d: derivative %.4f, differences say %.4f", i, got, want)
				}
			}
		})
	}
}

func TestQuantisedSharesCostLittleMore(t *testing.T) {
	for _, use := range []float64{0.5, 0.8, 0.95} {
		t.Run(fmt.Sprintf("at %.0f %%", 100*use), func(t *testing.T) {
			p := problem(RoundRobin, use, known(2, 0.02), known(4, 0.03), known(8, 0.025), known(16, 0.02))
			x := p.Solve(p.Proportional())
			q, sum := p.NewShares(), 0.0
			for i, w := range weights.Quantise(x[0]) {
				q[0][i] = float64(w.Int())
				sum += q[0][i]
			}
			for i := range q[0] {
				q[0][i] /= sum
				if math.Abs(q[0][i]-x[0][i]) > 0.02 {
					t.Errorf("server %d: share %.3f as a weight, want %.3f", i, q[0][i], x[0][i])
				}
			}
			if exact, rounded := p.Cost(x), p.Cost(q); rounded > exact+0.05 {
				t.Errorf("rounded to weights it costs %.0f %% more", 100*math.Expm1(rounded-exact))
			}
		})
	}
}

func TestCapacity(t *testing.T) {
	par := params.Default()
	failing := known(2, 0.02)
	failing.Fail[0] = 0.5
	for _, c := range []struct {
		name string
		p    *Problem
		want float64
	}{
		{"half used: twice the load", problem(RoundRobin, 0.5, known(2, 0.02), known(4, 0.02)), 2},
		{"one that nobody knows counts as nothing", &Problem{Params: &par,
			Beliefs: []estimate.Belief{known(2, 0.02), {}},
			Groups:  []Group{{RatePerSec: 50, Links: []Link{{Server: 0}, {Server: 1}}}}}, 2},
		{"one that fails counts as nothing", problem(RoundRobin, 0.5, known(2, 0.02), failing), 1},
		{"where all fail nothing is served", problem(RoundRobin, 0.5, failing, failing), 0},
		{"no load fits any number of times", problem(RoundRobin, 0, known(2, 0.02)), math.Inf(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.Capacity(); got != c.want && math.Abs(got-c.want) > 1e-9 {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestASpeedInDoubtIsPlannedForBothWays(t *testing.T) {
	for _, c := range []struct {
		name     string
		method   Method
		low, top float64 // of the share of one of three alike servers that has just been three times slower
	}{
		{"round robin sends it less, but not as little as if it were known", RoundRobin, 0.08, 0.30},
		{"least_conn sees to it itself", LeastConn, 0.32, 0.34},
	} {
		t.Run(c.name, func(t *testing.T) {
			doubted := known(4, 0.02)
			doubted.Doubt, doubted.Slots[0].Slower = 0.4, 3
			p := problem(c.method, 0.6, known(4, 0.02), doubted, known(4, 0.02))
			if got := p.Solve(p.Proportional())[0][1]; got < c.low || got > c.top {
				t.Errorf("got a share of %.3f, want %.2f to %.2f", got, c.low, c.top)
			}
		})
	}
}
