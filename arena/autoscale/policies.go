package autoscale

import (
	"math"
	"slices"

	"trimtab/rival"
)

// Threshold is the rule of Kubernetes' horizontal autoscaler: replicas ·= utilisation/target, rounded up, within a
// tolerance of a tenth, and down only to the most that was wanted in the last five minutes. Processors stay one per
// replica.
type Threshold struct {
	w      *World
	target float64
	wanted [][]int
}

// NewThreshold returns the policy; a target of 0 means 0.6.
func NewThreshold(w *World, target float64) *Threshold {
	if target == 0 {
		target = 0.6
	}
	return &Threshold{w: w, target: target, wanted: make([][]int, len(w.Services))}
}

// Scale implements Policy.
func (t *Threshold) Scale(s *Seen) []Size {
	out := make([]Size, len(s.Sizes))
	window := max(1, int(300/t.w.IntervalSec))
	for i, size := range s.Sizes {
		want := size.Replicas
		if ratio := s.Utilisation[i] / t.target; math.Abs(ratio-1) > 0.1 {
			want = int(math.Ceil(float64(size.Replicas) * ratio))
		}
		t.wanted[i] = append(t.wanted[i], want)
		t.wanted[i] = t.wanted[i][max(0, len(t.wanted[i])-window):]
		out[i] = Size{slices.Max(t.wanted[i]), 1}
	}
	return out
}

// Planner measures what a request costs each service (utilisation law) and takes the fewest replicas that keep the mean
// response time within a part of the objective at the forecast load, by M/M/c with the service times' variation (Allen
// and Cunneen), and drain what waits within an interval. Replicas have two processors where that makes the response
// shorter than any number of slower ones could.
type Planner struct {
	w    *World
	cost []float64 // s per request of the load with one processor, by service
	high float64   // of the loads lately: bursts last
}

const (
	plannerMemory = 0.2  // of the newest interval in a cost
	plannerPart   = 0.7  // of the objective that is planned for
	plannerHigh   = 0.9  // of the largest load lately that counts an interval later
	plannerRoom   = 1.15 // of the load that is planned for: what is forecast is uncertain by a tenth
)

// NewPlanner returns one that has measured nothing.
func NewPlanner(w *World) *Planner { return &Planner{w: w, cost: make([]float64, len(w.Services))} }

// Scale implements Policy.
func (p *Planner) Scale(s *Seen) []Size {
	if s.RatePerSec > 0 {
		for i, size := range s.Sizes {
			used := s.Utilisation[i] * float64(size.Replicas) * CPUs()[size.CPU] / s.RatePerSec
			if s.Utilisation[i] >= 0.999 && used < p.cost[i] { // a full service says only how little it does
				continue
			}
			if p.cost[i] == 0 {
				p.cost[i] = used
			}
			p.cost[i] += plannerMemory * (used - p.cost[i])
		}
	}
	p.high = max(s.RatePerSec, plannerHigh*p.high)
	load := plannerRoom * max(s.Forecast, plannerHigh*p.high)
	out := make([]Size, len(s.Sizes))
	total := 0.0
	for _, c := range p.cost {
		total += c
	}
	for i := range out {
		rate := load + float64(s.Waiting[i])/p.w.IntervalSec
		offered := rate * p.cost[i] // processors
		// The objective is shared out in proportion to what the services cost.
		budget := plannerPart * p.w.ObjectiveSec * p.cost[i] / max(total, 1e-9)
		out[i] = Size{p.w.Services[i].Most, len(CPUs()) - 1}
		best := math.Inf(1)
		for cpu, speed := range CPUs() {
			for n := max(1, int(math.Ceil(offered/speed))); n <= p.w.Services[i].Most; n++ {
				if waitAndService(rate, p.cost[i]/speed, n) > budget {
					continue
				}
				// The reward asks for busy replicas: of the sizes that are enough the busiest, and of those the fewest
				// processors.
				if idle := 1 - offered/speed/float64(n); idle+1e-3*float64(n)*speed < best {
					best, out[i] = idle+1e-3*float64(n)*speed, Size{n, cpu}
				}
				break
			}
		}
		// Slower processors only when the replicas are there that they need: those take an interval to come.
		if now := s.Sizes[i]; out[i].CPU < now.CPU && out[i].Replicas > now.Replicas {
			out[i].CPU = now.CPU
		}
	}
	return out
}

// waitAndService is the mean time of a request of the load at a service of n replicas, costs being s per request of the
// load.
func waitAndService(rate, cost float64, n int) float64 {
	busy := rate * cost
	rho := busy / float64(n)
	if rho >= 0.97 {
		return math.Inf(1)
	}
	// Erlang's C by its recursion over B.
	b := 1.0
	for k := 1; k <= n; k++ {
		b = busy * b / (float64(k) + busy*b)
	}
	c := b / (1 - rho*(1-b))
	return cost + c*cost/(float64(n)*(1-rho))*(1+ServiceCV*ServiceCV)/2
}

// Learner is the deep Q-network: one head per service, which keeps its size, adds or takes away a replica, or gives
// replicas more or less processor time.
type Learner struct {
	w     *World
	agent *rival.QAgent
	state []float64
	train bool
	err   error
}

// moves are the actions of a head.
var moves = []Size{{0, 0}, {1, 0}, {-1, 0}, {0, 1}, {0, -1}, {3, 0}}

// NewLearner returns a learner that knows nothing.
func NewLearner(w *World, seed uint64) (*Learner, error) {
	l := &Learner{w: w, state: make([]float64, len(w.Features()))}
	heads := slices.Repeat([]int{len(moves)}, len(w.Services))
	var err error
	l.agent, err = rival.NewQAgent(len(l.state), heads, rival.DQNConfig{Gamma: 0.9, Gap: -1, WarmUp: 500, Decay: 10_000,
		Seed: seed})
	return l, err
}

// Scale implements Policy.
func (l *Learner) Scale(s *Seen) []Size {
	s.FeaturesTo(l.state)
	var picks []int
	if l.train && l.err == nil {
		picks, l.err = l.agent.Act(l.state, s.Reward)
	} else {
		picks = l.agent.Best(l.state)
	}
	out := slices.Clone(s.Sizes)
	for i, a := range picks {
		out[i].Replicas += moves[a].Replicas
		out[i].CPU += moves[a].CPU
	}
	return out
}

// Train lets the learner play so many runs, on seeds from seed on.
func (l *Learner) Train(runs int, seed uint64) error {
	l.train = true
	defer func() { l.train = false }()
	for i := range runs {
		l.agent.Begin()
		if _, err := l.w.Play(l, seed+uint64(i)); err != nil {
			return err
		}
		if l.err != nil {
			return l.err
		}
	}
	return nil
}
