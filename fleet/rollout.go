package fleet

import (
	"fmt"
	"hash/fnv"
	"math"
	"time"
)

// Stage says how far the newest student has come.
type Stage struct {
	Stable    uint64 `json:"stable,omitempty"`    // version that every node may hold; 0: none
	Candidate uint64 `json:"candidate,omitempty"` // version on trial; 0: none
	Canary    string `json:"canary,omitempty"`    // the one node that tries it first
	// Share of the nodes that try it, 0…1, beside the canary.
	Share float64 `json:"share,omitempty"`
}

// Of is the version that the node is to hold, and whether it is on trial: the node then decides by it, so that it shows
// what it is worth.
func (s Stage) Of(node string) (version uint64, trial bool) {
	if s.Candidate == 0 {
		return s.Stable, false
	}
	if node == s.Canary || lot(node, s.Candidate) < s.Share {
		return s.Candidate, true
	}
	return s.Stable, false
}

// lot is a number in 0…1 that a node draws for a version: other nodes come first each time.
func lot(node string, version uint64) float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d.%s", version, node)
	return float64(h.Sum64()%1e6) / 1e6
}

// RolloutConfig says how careful a roll-out is. The zero value of a field means its default.
type RolloutConfig struct {
	Soak  time.Duration // of each stage, with measurements; default 30 s
	Share float64       // of the second stage; default 0.25
	Worse float64       // factor of the cost of the others from which on a candidate is taken back; default 1.15
}

func (c RolloutConfig) withDefaults() RolloutConfig {
	if c.Soak == 0 {
		c.Soak = 30 * time.Second
	}
	if c.Share == 0 {
		c.Share = 0.25
	}
	if c.Worse == 0 {
		c.Worse = 1.15
	}
	return c
}

// Rollout brings students to nodes: to one, to a share, to all. What those on trial pay beside the others, each against
// what it paid before, decides whether it goes on.
type Rollout struct {
	cfg     RolloutConfig
	stage   Stage
	soaked  time.Duration // of the present stage, with measurements of both sides
	waited  time.Duration // of the present stage
	before  map[string]float64
	costs   map[string]*average
	halted  string // why the last candidate was taken back; empty: it was not
	refused uint64 // version that was taken back last
}

// average of costs, in the logarithm.
type average struct{ sum, n float64 }

func (a *average) add(v float64) { a.sum, a.n = a.sum+v, a.n+1 }

// NewRollout returns a roll-out of nothing, every node holding the version given; 0: none.
func NewRollout(cfg RolloutConfig, stable uint64) *Rollout {
	return &Rollout{cfg: cfg.withDefaults(), stage: Stage{Stable: stable}, before: map[string]float64{},
		costs: map[string]*average{}}
}

// Stage is where it stands.
func (r *Rollout) Stage() Stage { return r.stage }

// Halted says why the last candidate was taken back, and which it was; empty: it was not.
func (r *Rollout) Halted() (version uint64, why string) { return r.refused, r.halted }

// Begin puts a version on trial at one node. While another one is on trial it does nothing and returns false.
func (r *Rollout) Begin(version uint64, canary string) bool {
	if r.stage.Candidate != 0 || canary == "" {
		return false
	}
	r.stage.Candidate, r.stage.Canary, r.stage.Share = version, canary, 0
	r.halted, r.soaked, r.waited = "", 0, 0
	r.costs = map[string]*average{}
	return true
}

// longestWait is how many soaks a stage may take that cannot be measured: then nobody knows, and the candidate is taken
// back.
const longestWait = 20

// memory of what nodes paid before a trial.
const memory = 0.1

// Step takes in what each node paid in an interval, a mean response time in ms with failures made dear, and goes on, or
// back.
func (r *Rollout) Step(costs map[string]float64, interval time.Duration) {
	if r.stage.Candidate == 0 {
		for node, c := range costs {
			if b, ok := r.before[node]; ok {
				c = b + memory*(c-b)
			}
			r.before[node] = c
		}
		return
	}
	tried, others := average{}, average{}
	for node, c := range costs {
		b, ok := r.before[node]
		if !ok || b <= 0 || c <= 0 {
			continue
		}
		a := r.costs[node]
		if a == nil {
			a = &average{}
			r.costs[node] = a
		}
		a.add(math.Log(c / b))
		if _, trial := r.stage.Of(node); trial {
			tried.add(a.sum / a.n)
		} else {
			others.add(a.sum / a.n)
		}
	}
	r.waited += interval
	if r.waited > longestWait*r.cfg.Soak {
		r.halt("nobody could measure it")
		return
	}
	if tried.n == 0 {
		return
	}
	r.soaked += interval
	worse := tried.sum / tried.n
	if others.n > 0 {
		worse -= others.sum / others.n
	}
	if r.soaked < r.cfg.Soak {
		if r.soaked >= r.cfg.Soak/3 && worse > 3*math.Log(r.cfg.Worse) { // so bad that nobody waits for the end
			r.halt(fmt.Sprintf("%s: responses cost %.0f %% more", r.where(), 100*(math.Exp(worse)-1)))
		}
		return
	}
	if worse > math.Log(r.cfg.Worse) {
		r.halt(fmt.Sprintf("%s: responses cost %.0f %% more", r.where(), 100*(math.Exp(worse)-1)))
		return
	}
	r.advance()
}

func (r *Rollout) where() string {
	if r.stage.Share == 0 {
		return "at " + r.stage.Canary
	}
	return fmt.Sprintf("at %.0f %% of the nodes", 100*r.stage.Share)
}

func (r *Rollout) advance() {
	r.soaked, r.waited = 0, 0
	r.costs = map[string]*average{}
	if r.stage.Share == 0 {
		r.stage.Share = r.cfg.Share
		return
	}
	r.stage = Stage{Stable: r.stage.Candidate}
}

// halt takes the candidate back.
func (r *Rollout) halt(why string) {
	r.halted, r.refused = why, r.stage.Candidate
	r.stage = Stage{Stable: r.stage.Stable}
}
