package rival

import (
	"errors"
	"fmt"
	"math"

	"trimtab/control"
	"trimtab/neural"
	"trimtab/objective"
	"trimtab/vts"
	"trimtab/weights"
)

// KindTD3 names the teacher.
const KindTD3 = "td3"

// actorNet is the name of its network in a model file.
const actorNet = "actor"

// TD3Config parameterises the training of a teacher. The zero value of a field means its default.
type TD3Config struct {
	Hidden  []int   // units of the hidden layers of actor and critics; default 64, 64
	Gamma   float64 // default 0.9. Below 0 means 0
	Rate    float64 // of Adam; default 5e-4
	Batch   int     // default 32
	Room    int     // of the replay memory, transitions; default 50,000
	WarmUp  int     // transitions at random before the first step of training; default 300
	Delay   int     // steps of the critics for one of the actor; default 2
	Follow  float64 // share of the way that target networks go in a step; default 0.01
	Smooth  float64 // deviation of the noise on the target's action, clipped at 2.5 of it; default 0.2
	From    float64 // deviation of the exploring noise at the start; default 0.5
	To      float64 // and at the end; default 0.1
	Decay   int     // transitions in between; default 8,000
	Shaping float64 // as of DQNConfig
	Targets map[string]objective.Target
	Seed    uint64
}

func (c *TD3Config) complete() {
	if len(c.Hidden) == 0 {
		c.Hidden = []int{64, 64}
	}
	number := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	count := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	number(&c.Gamma, 0.9)
	c.Gamma = max(c.Gamma, 0)
	number(&c.Rate, 5e-4)
	count(&c.Batch, 32)
	count(&c.Room, 50_000)
	count(&c.WarmUp, 300)
	count(&c.Delay, 2)
	number(&c.Follow, 0.01)
	number(&c.Smooth, 0.2)
	number(&c.From, 0.5)
	number(&c.To, 0.1)
	count(&c.Decay, 8_000)
	number(&c.Shaping, 0.5)
	c.Shaping = max(c.Shaping, 0)
}

// Validate reports what is wrong with a complete configuration.
func (c TD3Config) Validate() error {
	if !(c.Gamma < 1) || !(c.Rate > 0) || !(c.Follow > 0 && c.Follow <= 1) || !(c.Smooth >= 0 && c.From >= 0 &&
		c.To >= 0) {
		return fmt.Errorf("gamma %v, learning rate %v, target %v, noise %v, %v to %v: want below 1, above 0, above 0 "+
			"to 1, at least 0",
			c.Gamma, c.Rate, c.Follow, c.Smooth, c.From, c.To)
	}
	if c.Batch < 1 || c.Room < c.Batch || c.WarmUp < c.Batch || c.Delay < 1 || c.Decay < 1 {
		return fmt.Errorf("batch %d, replay %d, warm-up %d, delay %d, decay %d: want at least 1, and no batch beyond "+
			"the warm-up or the replay",
			c.Batch, c.Room, c.WarmUp, c.Delay, c.Decay)
	}
	return nil
}

// reach is the logarithm of the largest ratio of two weights that an actor can ask for, halved: its outputs are −1…1.
var reach = math.Log(mostRatio) / 2

// TD3 is the twin delayed deterministic policy gradient (Fujimoto, van Hoof and Meger 2018): an actor names the shares
// of all groups at once, two critics judge them, the lower one counts. It is the teacher of the students that are
// played in its place.
type TD3 struct {
	control.Fixed
	shape  Shape
	actor  *neural.Net
	scaler neural.Scaler
	known  bool
	state  []float64
	scaled []float64
	pass   neural.Pass
	train  *td3Training // nil: played only
}

var _ control.Policy = (*TD3)(nil)

// NewTD3 returns the policy that a model describes.
func NewTD3(m *Model) (*TD3, error) {
	if m.Kind != KindTD3 {
		return nil, fmt.Errorf("%w: of %q, want %q", ErrOtherModel, m.Kind, KindTD3)
	}
	if err := m.checkTD3(); err != nil {
		return nil, err
	}
	t := newTD3(m.Shape)
	t.actor, t.scaler, t.known = m.Nets[actorNet].Clone(), *m.Scaler, true
	return t, nil
}

func newTD3(s Shape) *TD3 {
	return &TD3{shape: s, state: make([]float64, s.features()), scaled: make([]float64, s.features())}
}

func (m *Model) checkTD3() error {
	if m.Scaler == nil {
		return errors.New("no scale of its inputs")
	}
	if err := m.Scaler.Check(m.Shape.features()); err != nil {
		return err
	}
	_, err := m.net(actorNet, m.Shape.features(), m.Shape.servers())
	return err
}

// Observe implements control.Policy.
func (t *TD3) Observe(s vts.Sample, inForce weights.Set) {
	if d := t.shape.Difference(ShapeOf(s)); d != "" {
		t.Decision = control.Decision{Reason: "hold: the model is of another world: " + d}
		return
	}
	if s.Interval <= 0 {
		t.Decision = control.Decision{Reason: "hold: the sample covers no time"}
		return
	}
	t.shape.featuresTo(t.state, s, inForce)
	var action []float64
	if t.train != nil {
		action = t.learn(s)
	} else {
		action = t.act()
	}
	t.Decision = control.Decision{Weights: sharesOf(s, action, inForce), Reason: "td3"}
}

// act is what the actor does in the present state.
func (t *TD3) act() []float64 {
	t.scaler.ApplyTo(t.scaled, t.state)
	return t.actor.Forward(&t.pass, t.scaled, 1)
}

// sharesOf are the weights that an action means where they differ from those in force: shares in proportion to
// exp(reach·a).
func sharesOf(s vts.Sample, action []float64, inForce weights.Set) weights.Set {
	w := weights.Set{}
	for _, g := range s.Groups {
		x := make([]float64, len(g.Peers))
		for i := range x {
			x[i] = math.Exp(reach * action[i])
		}
		action = action[len(x):]
		if m := settings(g, weights.Quantise(x)); !withinBand(m, inForce[g.Name], actionBand) {
			w[g.Name] = m
		}
	}
	return w
}

// actionBand is by how much a share must change to be worth new weights: an actor's outputs are never twice the same.
const actionBand = 0.05

// td3Training is the part that learns.
type td3Training struct {
	experience
	cfg              TD3Config
	critics, behind  [2]*neural.Net // and their targets
	actorBehind      *neural.Net
	actorAdam        neural.Adam
	criticAdams      [2]neural.Adam
	actorGradient    []float64
	criticGradient   []float64
	joint, ahead, dy []float64
	passes           [4]neural.Pass
}

var _ Trainee = (*TD3)(nil)

// TrainTD3 returns a teacher that knows nothing of worlds of the shape.
func TrainTD3(s Shape, c TD3Config) (*TD3, error) {
	c.complete()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("train td3: %w", err)
	}
	if s.servers() == 0 {
		return nil, errors.New("train td3: a world without servers")
	}
	t := newTD3(s)
	x := &td3Training{cfg: c, experience: newExperience(c.Seed, 0x746433, s.features(), s.servers(), c.Room),
		actorAdam: neural.Adam{Rate: c.Rate, Clip: 10}}
	sizes := func(in, out int) []int { return append(append([]int{in}, c.Hidden...), out) }
	var err error
	if t.actor, err = neural.New(sizes(s.features(), s.servers()), neural.ReLU, neural.Tanh, x.rng); err != nil {
		return nil, fmt.Errorf("train td3: %w", err)
	}
	for i := range x.critics {
		if x.critics[i], err = neural.New(sizes(s.features()+s.servers(), 1), neural.ReLU, neural.Linear,
			x.rng); err != nil {
			return nil, fmt.Errorf("train td3: %w", err)
		}
		x.behind[i], x.criticAdams[i] = x.critics[i].Clone(), neural.Adam{Rate: c.Rate, Clip: 10}
	}
	x.actorBehind = t.actor.Clone()
	x.actorGradient, x.criticGradient = make([]float64, len(t.actor.Params)), make([]float64, len(x.critics[0].Params))
	t.train = x
	return t, nil
}

// Begin implements Trainee.
func (t *TD3) Begin() { t.train.before = nil }

// Err implements Trainee.
func (t *TD3) Err() error { return t.train.err }

// Steps implements Trainee.
func (t *TD3) Steps() int { return t.train.seen }

// noise is the deviation of the exploring noise now.
func (x *td3Training) noise() float64 { return x.fading(x.cfg.From, x.cfg.To, x.cfg.Decay) }

// learn stores what the last action led to, makes a step of training and chooses the next action.
func (t *TD3) learn(s vts.Sample) []float64 {
	x := t.train
	led := x.meet(t.state, RewardOf(s, x.cfg.Targets), x.cfg.Shaping*backlog(s, x.cfg.Targets), x.cfg.Gamma)
	x.fit(&t.scaler, &t.known, x.cfg.WarmUp)
	if t.known && led && x.err == nil {
		t.update()
	}
	action := sized(x.last, t.shape.servers())
	if t.known {
		copy(action, t.act())
		for i := range action {
			action[i] = min(1, max(-1, action[i]+x.noise()*x.rng.NormFloat64()))
		}
	} else {
		for i := range action {
			action[i] = 2*x.rng.Float64() - 1
		}
	}
	x.chose(t.state, action)
	return action
}

// update makes one step of the critics, and every Delay steps one of the actor and of the targets.
func (t *TD3) update() {
	x := t.train
	n, width, k := x.cfg.Batch, x.memory.Width, x.memory.Picks
	x.memory.draw(&x.draw, n, x.rng, t.scaler.ApplyTo)
	join := func(to, states, actions []float64) []float64 {
		to = sized(to, n*(width+k))
		for i := range n {
			copy(to[i*(width+k):], states[i*width:(i+1)*width])
			copy(to[i*(width+k)+width:], actions[i*k:(i+1)*k])
		}
		return to
	}
	next := x.actorBehind.Forward(&x.passes[0], x.draw.next, n)
	for i := range next {
		next[i] = min(1, max(-1, next[i]+min(2.5, max(-2.5, x.rng.NormFloat64()))*x.cfg.Smooth))
	}
	x.ahead = join(x.ahead, x.draw.next, next)
	a, b := x.behind[0].Forward(&x.passes[1], x.ahead, n), x.behind[1].Forward(&x.passes[2], x.ahead, n)
	targets := make([]float64, n)
	for i := range n {
		targets[i] = x.draw.rewards[i] + x.cfg.Gamma*min(a[i], b[i])
	}
	x.joint = join(x.joint, x.draw.states, x.draw.actions)
	x.dy = sized(x.dy, n)
	loss := 0.0
	for c := range x.critics {
		q := x.critics[c].Forward(&x.passes[1], x.joint, n)
		for i := range n {
			off := q[i] - targets[i]
			loss += off * off
			x.dy[i] = min(1, max(-1, off)) / float64(n)
		}
		x.critics[c].Backward(&x.passes[1], x.dy, x.criticGradient)
		x.criticAdams[c].Step(x.critics[c].Params, x.criticGradient)
	}
	if !x.finite(KindTD3, x.cfg.Seed, loss, t.actor) {
		return
	}
	if x.updates%x.cfg.Delay != 0 {
		return
	}
	// The actor goes where the first critic says that the value rises.
	action := t.actor.Forward(&x.passes[3], x.draw.states, n)
	x.joint = join(x.joint, x.draw.states, action)
	x.critics[0].Forward(&x.passes[1], x.joint, n)
	for i := range n {
		x.dy[i] = -1 / float64(n)
	}
	dIn := x.critics[0].BackwardInputs(&x.passes[1], x.dy, nil)
	dAction := make([]float64, n*k)
	for i := range n {
		copy(dAction[i*k:(i+1)*k], dIn[i*(width+k)+width:(i+1)*(width+k)])
	}
	t.actor.Backward(&x.passes[3], dAction, x.actorGradient)
	x.actorAdam.Step(t.actor.Params, x.actorGradient)
	x.actorBehind.Follow(t.actor, x.cfg.Follow)
	for c := range x.critics {
		x.behind[c].Follow(x.critics[c], x.cfg.Follow)
	}
}

// Model implements Trainee.
func (t *TD3) Model() (*Model, error) {
	if !t.known {
		return nil, errors.New("train td3: nothing was learned yet")
	}
	if !t.actor.Finite() {
		return nil, &DivergedError{Kind: KindTD3, What: "a parameter", Step: t.train.updates, Seed: t.train.cfg.Seed}
	}
	scaler := t.scaler
	return &Model{Version: ModelVersion, Kind: KindTD3, Shape: t.shape, Scaler: &scaler,
		Nets: map[string]*neural.Net{actorNet: t.actor.Clone()}}, nil
}

// Player implements Trainee.
func (t *TD3) Player() (control.Policy, error) {
	if !t.known {
		return nil, nil
	}
	m, err := t.Model()
	if err != nil {
		return nil, err
	}
	return NewTD3(m)
}
