package rival

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"trimtab/control"
	"trimtab/neural"
	"trimtab/objective"
	"trimtab/vts"
	"trimtab/weights"
)

// KindDQN names the deep Q-network.
const KindDQN = "dqn"

// qNet is the name of its network in a model file.
const qNet = "q"

// DQNConfig parameterises the training of a deep Q-network. The zero value of a field means its default.
type DQNConfig struct {
	Actions ActionSet // default: steps of 1.5
	Hidden  []int     // units of the hidden layers; default 64, 64
	Gamma   float64   // weight of the next state's value, 0…1; default 0.9. Below 0 means 0
	Rate    float64   // of Adam, at the start; default 5e-4
	Batch   int       // default 64
	Room    int       // of the replay memory, transitions; default 50,000
	// transitions at random before the first step of training, the inputs' scale is taken from them; default 300
	WarmUp int
	Follow int // steps of training between two copies to the target network; default 500
	// From and To are ε at the start and at the end, and Decay the transitions in between, over which the learning rate
	// falls too; defaults 0.7, 0.1 and 10,000.
	From, To float64
	Decay    int
	// Shaping is how much a reward counts the change of the backlog, as a potential −Shaping·backlog, which leaves the
	// best policy what it is (Ng, Harada and Russell 1999): where queues take minutes to drain, nothing else says soon
	// that they do. Default 0.5; below 0 means 0.
	Shaping float64
	// Gap is how much of the disadvantage of an action is taken off its target: advantage learning (Bellemare et al.
	// 2016) leaves the best action the best and widens the distance to the others, 10 times by 0.9. Where servers are
	// lightly loaded actions differ by less than the errors of the network, and it wandered from one to the other.
	// Default 0.9; below 0 means 0.
	Gap     float64
	Targets map[string]objective.Target // by upstream: deadlines that the reward is counted from
	Seed    uint64
}

func (c *DQNConfig) complete() {
	c.Actions.complete()
	if len(c.Hidden) == 0 {
		c.Hidden = []int{64, 64}
	}
	if c.Gamma == 0 {
		c.Gamma = 0.9
	}
	c.Gamma = max(c.Gamma, 0)
	if c.Shaping == 0 {
		c.Shaping = 0.5
	}
	c.Shaping = max(c.Shaping, 0)
	if c.Gap == 0 {
		c.Gap = 0.9
	}
	c.Gap = max(c.Gap, 0)
	fill := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	fill(&c.Batch, 64)
	fill(&c.Room, 50_000)
	fill(&c.WarmUp, 300)
	fill(&c.Follow, 500)
	fill(&c.Decay, 10_000)
	if c.From == 0 {
		c.From = 0.7
	}
	if c.To == 0 {
		c.To = 0.1
	}
	if c.Rate == 0 {
		c.Rate = 5e-4
	}
}

// Validate reports all faults of a complete configuration.
func (c DQNConfig) Validate() error {
	var errs []error
	if !(c.Gamma < 1) || !(c.Gap < 1) {
		errs = append(errs, fmt.Errorf("gamma %v, gap %v: want below 1", c.Gamma, c.Gap))
	}
	if !(c.From >= 0 && c.From <= 1 && c.To >= 0 && c.To <= 1) {
		errs = append(errs, fmt.Errorf("epsilon from %v to %v: want 0 to 1", c.From, c.To))
	}
	if !(c.Rate > 0) {
		errs = append(errs, fmt.Errorf("learning rate %v: want above 0", c.Rate))
	}
	if c.Batch < 1 || c.Room < c.Batch || c.WarmUp < c.Batch || c.Follow < 1 || c.Decay < 1 {
		errs = append(errs, fmt.Errorf("batch %d, replay %d, warm-up %d, target every %d, decay %d: want at least 1, "+
			"and no batch beyond the warm-up or the replay",
			c.Batch, c.Room, c.WarmUp, c.Follow, c.Decay))
	}
	return errors.Join(errs...)
}

// DQN is the deep Q-network (Mnih et al. 2015, with the double estimate of van Hasselt et al. 2016 and the action gap
// of Bellemare et al. 2016) on the load and the state of the servers. The value of joint actions of all groups is the
// sum of one head per group (value decomposition, Sunehag et al. 2018):
//
//	Q(s, a) = Σ_g Q_g(s, a_g)
//	target  = r + Σ_g [γ·Q'_g(s', argmax Q_g(s', ·)) − gap·(max Q'_g(s, ·) − Q'_g(s, a_g))]
//
// so that the number of outputs grows with the groups and not with the product of their actions.
type DQN struct {
	control.Fixed
	shape   Shape
	actions ActionSet
	moves   [][][]float64 // by group and action
	first   []int         // output of each group's first action
	net     *neural.Net
	scaler  neural.Scaler
	known   bool // the scaler is fitted
	state   []float64
	scaled  []float64
	pass    neural.Pass
	train   *dqnTraining // nil: played only
}

var _ control.Policy = (*DQN)(nil)

// NewDQN returns the policy that a model describes, for a world of the model's shape.
func NewDQN(m *Model) (*DQN, error) {
	if m.Kind != KindDQN {
		return nil, fmt.Errorf("%w: of %q, want %q", ErrOtherModel, m.Kind, KindDQN)
	}
	if err := m.checkDQN(); err != nil {
		return nil, err
	}
	d := newDQN(m.Shape, *m.Actions)
	d.net, d.scaler, d.known = m.Nets[qNet].Clone(), *m.Scaler, true
	return d, nil
}

func newDQN(s Shape, a ActionSet) *DQN {
	d := &DQN{shape: s, actions: a, state: make([]float64, s.features()), scaled: make([]float64, s.features())}
	outputs := 0
	for _, g := range s.Groups {
		moves := a.moves(len(g.Servers))
		d.moves, d.first = append(d.moves, moves), append(d.first, outputs)
		outputs += len(moves)
	}
	d.first = append(d.first, outputs)
	return d
}

func (m *Model) checkDQN() error {
	if m.Actions == nil || m.Scaler == nil {
		return errors.New("no actions, or no scale of its inputs")
	}
	if err := m.Actions.validate(m.Shape); err != nil {
		return err
	}
	if err := m.Scaler.Check(m.Shape.features()); err != nil {
		return err
	}
	d := newDQN(m.Shape, *m.Actions)
	_, err := m.net(qNet, m.Shape.features(), d.outputs())
	return err
}

func (d *DQN) outputs() int { return d.first[d.heads()] }

// heads is the number of actions that are taken at once, one for each group.
func (d *DQN) heads() int { return len(d.first) - 1 }

// Observe implements control.Policy.
func (d *DQN) Observe(s vts.Sample, inForce weights.Set) {
	if diff := d.shape.Difference(ShapeOf(s)); diff != "" {
		d.Decision = control.Decision{Reason: "hold: the model is of another world: " + diff}
		return
	}
	if s.Interval <= 0 {
		d.Decision = control.Decision{Reason: "hold: the sample covers no time"}
		return
	}
	d.shape.featuresTo(d.state, s, inForce)
	var picks []int
	how := "greedy"
	if d.train != nil {
		picks, how = d.learn(RewardOf(s, d.train.cfg.Targets),
			d.train.cfg.Shaping*backlog(s, d.train.cfg.Targets))
	} else {
		picks = d.best()
	}
	w, value := weights.Set{}, 0.0
	for g, gs := range s.Groups {
		shares := make([]float64, len(gs.Peers))
		of := inForce[gs.Name].Shares()
		for i, p := range gs.Peers {
			shares[i] = max(of[p.Server], 1e-3)
		}
		if m := settings(gs, d.actions.apply(shares, d.moves[g][picks[g]])); !m.Equal(inForce[gs.Name]) {
			w[gs.Name] = m
		}
		if d.known && len(d.scaled) > 0 && how == "greedy" {
			value += d.q()[d.first[g]+picks[g]]
		}
	}
	d.Decision = control.Decision{Weights: w, Reason: fmt.Sprintf("dqn: %s, value %.3f", how, value)}
}

// q are the values of all actions in the present state, as the last best worked them out.
func (d *DQN) q() []float64 { return d.pass.Last() }

// best is the action of the greatest value for each group.
func (d *DQN) best() []int {
	d.scaler.ApplyTo(d.scaled, d.state)
	return d.argmax(d.net.Forward(&d.pass, d.scaled, 1))
}

func (d *DQN) argmax(q []float64) []int {
	out := make([]int, d.heads())
	for g := range out {
		of := q[d.first[g]:d.first[g+1]]
		for a, v := range of {
			if v > of[out[g]] {
				out[g] = a
			}
		}
	}
	return out
}

// random is an action at random for each group.
func (d *DQN) random(rng *rand.Rand) []int {
	out := make([]int, d.heads())
	for g := range out {
		out[g] = rng.IntN(d.first[g+1] - d.first[g])
	}
	return out
}
