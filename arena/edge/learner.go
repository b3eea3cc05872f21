package edge

import "trimtab/rival"

// Learner is the deep Q-network in this world: the state is the request, its client's region and how full every server
// is; an action is one model of one server, or to deny. The reward is what the request will be worth, which training in
// the simulator knows at once.
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
	l := &Learner{w: w, choices: w.Choices(), state: make([]float64, len(w.Features()))}
	var err error
	// A request is placed once: what counts of the future is how full it leaves the servers.
	l.agent, err = rival.NewQAgent(len(l.state), []int{len(l.choices)}, rival.DQNConfig{Gamma: 0.8, Gap: -1, Rate: 1e-3,
		WarmUp: 1000, Decay: 45_000, Room: 30_000, Seed: seed})
	return l, err
}

// Steps is the number of requests that were learned from.
func (l *Learner) Steps() int { return l.agent.Steps() }

// Place implements Policy.
func (l *Learner) Place(r *Request, inside []int) Place {
	l.w.SeeTo(l.state, r, inside)
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
	for left := seconds; left > 0; left -= l.w.Duration.Std().Seconds() {
		seed++
		if err := l.episode(seed, left); err != nil {
			return err
		}
	}
	return l.err
}

// episode plays one run of the world, and gives every action its worth as soon as it is taken.
func (l *Learner) episode(seed uint64, seconds float64) error {
	e := l.w.Begin(seed)
	for r := e.Next(); r != nil && r.At <= seconds; r = e.Next() {
		p := l.Place(r, e.Inside())
		if l.err != nil {
			return l.err
		}
		var err error
		if _, l.last, err = e.Place(p); err != nil {
			return err
		}
	}
	return nil
}
