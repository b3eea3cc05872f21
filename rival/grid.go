package rival

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"trimtab/control"
	"trimtab/objective"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"
)

// GridConfig parameterises the grid learner. The zero value of a field means its default.
type GridConfig struct {
	Levels       []int   // the weights to combine; default 1, 3, 5
	Epsilon      float64 // probability of a random vector; default 0.1
	LearningRate float64 // least step of the Q update; default 0.1
	Gamma        float64 // weight of the next interval's value; default 0
	// Groups, ErrorTardiness and Regimes are those of Config.
	Groups         map[string]objective.Target
	ErrorTardiness float64
	Regimes        load.RegimeConfig
	Seed           uint64
}

// gridMost is the largest number of vectors of a group; with more servers the grid is drawn at random.
const gridMost = 4096

// Grid is the older learner, kept as a yardstick: its actions are all distinct vectors over a few levels after
// division by a common factor (25 over 1, 3, 5 for three servers), a Q table per regime and group, ε-greedy.
type Grid struct {
	control.Fixed
	cfg     GridConfig
	rng     *rand.Rand
	regimes *load.Regimes
	groups  map[string]*gridGroup
}

// gridCell is one entry of a Q table: the value of an action in a regime.
type gridCell struct{ value, visits float64 }

// update is Q ← Q + α(r + γ·max Q' − Q) with α = max(1/n, least).
func (c *gridCell) update(reward, gamma, next, least float64) {
	c.visits++
	c.value += max(1/c.visits, least) * (reward + gamma*next - c.value)
}

type gridGroup struct {
	servers  []string
	vectors  [][]weights.Weight
	q        map[int][]gridCell // by regime
	active   int
	settling bool
	learned  objective.Moments
	deadline float64
}

// NewGrid returns the grid learner.
func NewGrid(cfg GridConfig) (*Grid, error) {
	if len(cfg.Levels) == 0 {
		cfg.Levels = []int{1, 3, 5}
	}
	var errs []error
	for _, n := range cfg.Levels {
		if _, err := weights.New(n); err != nil {
			errs = append(errs, err)
		}
	}
	if cfg.Epsilon < 0 || cfg.Epsilon > 1 || cfg.LearningRate < 0 || cfg.LearningRate > 1 || cfg.Gamma < 0 ||
		cfg.Gamma >= 1 {
		errs = append(errs, fmt.Errorf("epsilon %v, learning_rate %v, gamma %v: want 0 to 1, gamma below 1",
			cfg.Epsilon, cfg.LearningRate, cfg.Gamma))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("configure grid: %w", err)
	}
	if cfg.Epsilon == 0 {
		cfg.Epsilon = 0.1
	}
	if cfg.LearningRate == 0 {
		cfg.LearningRate = 0.1
	}
	if cfg.ErrorTardiness == 0 {
		cfg.ErrorTardiness = objective.DefaultErrorTardiness
	}
	r, err := load.NewRegimes(cfg.Regimes, cfg.Seed)
	if err != nil {
		return nil, fmt.Errorf("configure grid: %w", err)
	}
	return &Grid{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x6772_6964)), regimes: r,
		groups: make(map[string]*gridGroup)}, nil
}

var _ control.Policy = (*Grid)(nil)

// Observe implements control.Policy.
func (l *Grid) Observe(s vts.Sample, inForce weights.Set) {
	if s.Interval <= 0 {
		l.Decision = control.Decision{Reason: "hold: the sample covers no time"}
		return
	}
	regime := l.regimes.Track(&s).Index
	w := make(weights.Set)
	var reasons []string
	for _, gs := range s.Groups {
		servers := make([]string, len(gs.Peers))
		for i, p := range gs.Peers {
			servers[i] = p.Server
		}
		g := l.groups[gs.Name]
		if g == nil || !slices.Equal(g.servers, servers) {
			g = &gridGroup{servers: servers, vectors: l.vectors(len(servers)), q: make(map[int][]gridCell),
				active:   -1,
				deadline: l.cfg.Groups[gs.Name].Deadline.Seconds()}
			l.groups[gs.Name] = g
		}
		if g.deadline == 0 {
			for _, p := range gs.Peers {
				if n, sum, square, ok := objective.MomentsOf(p); ok {
					g.learned.Add(n, sum, square)
				}
			}
			if g.learned.N > 100 {
				g.deadline = objective.DeadlineOf(g.learned, l.cfg.Groups[gs.Name].Priority).Seconds()
			}
		}
		q := g.q[regime]
		if q == nil {
			q = make([]gridCell, len(g.vectors))
			g.q[regime] = q
		}
		if g.active >= 0 && !g.settling && gs.Requests() > 0 {
			best := slices.MaxFunc(q, func(a, b gridCell) int { return cmp.Compare(a.value, b.value) })
			q[g.active].update(-objective.Measure(gs, g.deadline).PerRequest(l.cfg.ErrorTardiness), l.cfg.Gamma,
				best.value, l.cfg.LearningRate)
		}
		next, how := g.choose(q, l.rng, l.cfg.Epsilon)
		g.settling = next != g.active
		g.active = next
		if m := settings(gs, g.vectors[next]); !m.Equal(inForce[gs.Name]) {
			w[gs.Name] = m
		}
		reasons = append(reasons, gs.Name+" "+how)
	}
	l.Decision = control.Decision{Weights: w, Reason: "grid: " + strings.Join(reasons, ", ")}
}

// choose draws ε-greedily; a vector that was never tried has value 0, the best there is, and so is tried.
func (g *gridGroup) choose(q []gridCell, rng *rand.Rand, epsilon float64) (int, string) {
	if rng.Float64() < epsilon {
		return rng.IntN(len(q)), "at random"
	}
	best, ties := 0, 0
	for i := range q {
		switch {
		case q[i].value > q[best].value:
			best, ties = i, 1
		case q[i].value == q[best].value:
			if ties++; rng.IntN(ties) == 0 {
				best = i
			}
		}
	}
	return best, fmt.Sprintf("Q %.4f after %.0f", q[best].value, q[best].visits)
}

// vectors are all distinct vectors over the levels after division by a common factor, or gridMost drawn ones.
func (l *Grid) vectors(n int) [][]weights.Weight {
	seen := make(map[string]bool)
	var out [][]weights.Weight
	add := func(v []float64) {
		w := weights.Quantise(v)
		if key := fmt.Sprint(w); !seen[key] {
			seen[key] = true
			out = append(out, w)
		}
	}
	total := 1
	for range n {
		if total *= len(l.cfg.Levels); total > gridMost {
			for range gridMost {
				v := make([]float64, n)
				for i := range v {
					v[i] = float64(l.cfg.Levels[l.rng.IntN(len(l.cfg.Levels))])
				}
				add(v)
			}
			return out
		}
	}
	for k := range total {
		v := make([]float64, n)
		for i := range v {
			v[i] = float64(l.cfg.Levels[k%len(l.cfg.Levels)])
			k /= len(l.cfg.Levels)
		}
		add(v)
	}
	return out
}
