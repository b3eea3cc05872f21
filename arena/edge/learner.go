package edge

import (
	"math"

	"trimtab/rival"
)

// Learner is the deep Q-network in this world: the state is the request, its client's region and how full every server is; an action is one
// model of one server, or to deny. The reward is what the request will be worth, which training in the simulator knows at once.
type Learner struct {
	w       *World
	agent   *rival.QAgent
	choices []Place
	state   []float64
	train   bool
	last    float64 // reward of the last action
	err     error
}

// NewLearner returns a learner that knows nothing.
func NewLearner(w *World, seed uint64) (*Learner, error) {
	l := &Learner{w: w, choices: w.choices(), state: make([]float64, 3+len(w.Regions)+2*len(w.Servers))}
	var err error
	// A request is placed once: what counts of the future is how full it leaves the servers.
	l.agent, err = rival.NewQAgent(len(l.state), []int{len(l.choices)}, rival.DQNConfig{Gamma: 0.8, Rate: 1e-3, WarmUp: 1000, Decay: 15_000, Room: 30_000, Seed: seed})
	return l, err
}

// Steps is the number of requests that were learned from.
func (l *Learner) Steps() int { return l.agent.Steps() }

// see writes the state.
func (l *Learner) see(r *Request, inside []int) {
	clear(l.state)
	l.state[0], l.state[1], l.state[2] = r.MB, r.Within, r.Accuracy
	l.state[3+r.Region] = 1
	at := 3 + len(l.w.Regions)
	for i, n := range inside {
		l.state[at] = float64(n) / float64(l.w.Servers[i].Slots)
		l.state[at+1] = math.Log1p(float64(n))
		at += 2
	}
}

// Place implements Policy.
func (l *Learner) Place(r *Request, inside []int) Place {
	l.see(r, inside)
	if !l.train || l.err != nil {
		return l.choices[l.agent.Best(l.state)[0]]
	}
	a, err := l.agent.Act(l.state, l.last)
	l.err = err
	return l.choices[a[0]]
}

// Done implements Policy.
func (*Learner) Done(*Outcome) {}

// Train lets the learner play so many seconds of the world, on requests of its own. Errors are those of its network.
func (l *Learner) Train(seconds float64, seed uint64) error {
	l.train = true
	defer func() { l.train = false }()
	l.agent.Begin()
	for left := seconds; left > 0; left -= l.w.Duration.Sec() {
		seed++
		if err := l.episode(seed, left); err != nil {
			return err
		}
	}
	return l.err
}

// episode plays one run of the world, and gives every action its worth as soon as it is taken.
func (l *Learner) episode(seed uint64, seconds float64) error {
	stations := make([]station, len(l.w.Servers))
	for i, s := range l.w.Servers {
		stations[i] = make(station, s.Slots)
	}
	inside := make([]int, len(l.w.Servers))
	var pending []answer
	for _, r := range l.w.Requests(seed) {
		if r.At > seconds {
			break
		}
		kept := pending[:0]
		for _, a := range pending {
			if a.at <= r.At {
				inside[a.o.Place.Server]--
			} else {
				kept = append(kept, a)
			}
		}
		pending = kept
		p := l.Place(&r, inside)
		if l.err != nil {
			return l.err
		}
		l.last = 0
		if p.Deny {
			continue
		}
		delay := l.w.delay(&r, p.Server)
		service := l.w.Servers[p.Server].Models[p.Model].service(&r)
		total := stations[p.Server].enter(r.At+delay/2, service) + service + delay/2 - r.At
		o := Outcome{Request: r, Place: p, TotalSec: total, ServiceSec: service}
		l.last = worth(l.w.judge(&o))
		inside[p.Server]++
		pending = append(pending, answer{r.At + total, o})
	}
	return nil
}
