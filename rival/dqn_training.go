package rival

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"trimtab/control"
	"trimtab/neural"
)

// dqnTraining is the part of a DQN that learns.
type dqnTraining struct {
	experience
	cfg      DQNConfig
	target   *neural.Net
	slow     *neural.Net // moving average of the network, which is what is played: values of single steps come and go
	adam     neural.Adam
	gradient []float64

	dy           []float64
	ahead, value neural.Pass
	here         neural.Pass // of the state that an action was chosen in
	row          []float64
}

var _ Trainee = (*DQN)(nil)

// TrainDQN returns a network that knows nothing of worlds of the shape and learns while it is played.
func TrainDQN(s Shape, c DQNConfig) (*DQN, error) {
	c.complete()
	if err := errors.Join(c.Validate(), c.Actions.validate(s)); err != nil {
		return nil, fmt.Errorf("train dqn: %w", err)
	}
	d := newDQN(s, c.Actions)
	return d, d.begin(c)
}

// begin makes it one that knows nothing and learns.
func (d *DQN) begin(c DQNConfig) error {
	t := &dqnTraining{cfg: c, experience: newExperience(c.Seed, 0x64716e, len(d.state), d.heads(), c.Room),
		adam: neural.Adam{Rate: c.Rate, Clip: 10}}
	sizes := append(append([]int{len(d.state)}, c.Hidden...), d.outputs())
	var err error
	if d.net, err = neural.New(sizes, neural.ReLU, neural.Linear, t.rng); err != nil {
		return fmt.Errorf("train dqn: %w", err)
	}
	t.target, t.slow, t.gradient = d.net.Clone(), d.net.Clone(), make([]float64, len(d.net.Params))
	d.train = t
	return nil
}

// Begin implements Trainee.
func (d *DQN) Begin() { d.train.before = nil }

// Err implements Trainee.
func (d *DQN) Err() error { return d.train.err }

// Steps implements Trainee.
func (d *DQN) Steps() int { return d.train.seen }

// epsilon is the probability of an action at random.
func (t *dqnTraining) epsilon() float64 { return t.fading(t.cfg.From, t.cfg.To, t.cfg.Decay) }

// learn stores what the last action led to, makes a step of training and chooses the next action.
func (d *DQN) learn(reward, cost float64) (picks []int, how string) {
	t := d.train
	led := t.meet(d.state, reward, cost, t.cfg.Gamma)
	t.fit(&d.scaler, &d.known, t.cfg.WarmUp)
	if d.known && led && t.err == nil {
		d.update()
	}
	if !d.known || t.rng.Float64() < t.epsilon() {
		picks, how = d.random(t.rng), "at random"
	} else {
		picks, how = d.best(), "greedy"
	}
	action := sized(t.last, len(picks))
	for g, a := range picks {
		action[g] = float64(a)
	}
	t.chose(d.state, action)
	return picks, how
}

const (
	// slowShare is the least share of the way that the network that is played goes in a step; at first it is 2/step, so
	// that the random numbers that training begins with are soon forgotten.
	slowShare = 1e-3
	// endRate is what is left of the learning rate when exploration has faded: with the whole of it the last thousands
	// of steps move values back and forth by more than actions differ.
	endRate = 0.1
)

// update makes one step of gradient descent on a batch of the memory.
func (d *DQN) update() {
	t := d.train
	n, outputs := t.cfg.Batch, d.outputs()
	t.memory.draw(&t.draw, n, t.rng, d.scaler.ApplyTo)
	chosen := d.net.Forward(&t.ahead, t.draw.next, n)
	ahead := t.target.Forward(&t.value, t.draw.next, n)
	here := t.target.Forward(&t.here, t.draw.states, n)
	targets := sized(t.row, n)
	for i := range n {
		best := d.argmax(chosen[i*outputs : (i+1)*outputs])
		targets[i] = t.draw.rewards[i]
		for g, a := range best {
			targets[i] += t.cfg.Gamma * ahead[i*outputs+d.first[g]+a]
			of := here[i*outputs+d.first[g] : i*outputs+d.first[g+1]]
			targets[i] -= t.cfg.Gap * (slices.Max(of) - of[int(t.draw.actions[i*len(best)+g])])
		}
	}
	t.row = targets
	q := d.net.Forward(&t.ahead, t.draw.states, n)
	t.dy = sized(t.dy, n*outputs)
	clear(t.dy)
	groups, loss := d.heads(), 0.0
	for i := range n {
		value := 0.0
		for g := range groups {
			value += q[i*outputs+d.first[g]+int(t.draw.actions[i*groups+g])]
		}
		off := value - targets[i]
		loss += off * off
		off = min(1, max(-1, off)) // Huber
		for g := range groups {
			t.dy[i*outputs+d.first[g]+int(t.draw.actions[i*groups+g])] = off / float64(n)
		}
	}
	d.net.Backward(&t.ahead, t.dy, t.gradient)
	t.adam.Rate = t.cfg.Rate * math.Pow(endRate, t.fading(0, 1, t.cfg.Decay))
	t.adam.Step(d.net.Params, t.gradient)
	t.slow.Follow(d.net, max(slowShare, 2/float64(t.updates+2)))
	if !t.finite(KindDQN, t.cfg.Seed, loss, d.net) {
		return
	}
	if t.updates%t.cfg.Follow == 0 {
		t.target.Follow(d.net, 1)
	}
}

// Model implements Trainee.
func (d *DQN) Model() (*Model, error) {
	if !d.known {
		return nil, errors.New("train dqn: nothing was learned yet")
	}
	if !d.net.Finite() {
		return nil, &DivergedError{Kind: KindDQN, What: "a parameter", Step: d.train.updates, Seed: d.train.cfg.Seed}
	}
	scaler, actions := d.scaler, d.actions
	return &Model{Version: ModelVersion, Kind: KindDQN, Shape: d.shape, Actions: &actions, Scaler: &scaler,
		Nets: map[string]*neural.Net{qNet: d.train.slow.Clone()}}, nil
}

// Player implements Trainee.
func (d *DQN) Player() (control.Policy, error) {
	if !d.known {
		return nil, nil
	}
	m, err := d.Model()
	if err != nil {
		return nil, err
	}
	return NewDQN(m)
}

// dqnCheckpoint is all that training needs to go on.
type dqnCheckpoint struct {
	Head          checkpointHead
	Random        []byte
	Memory        replay
	Params        []float64
	Target, Slow  []float64
	M, V          []float64
	T             int
	Scaler        neural.Scaler
	Known         bool
	Seen, Updates int
}

func (d *DQN) head() checkpointHead {
	return checkpointHead{Version: CheckpointVersion, Kind: KindDQN, Seed: d.train.cfg.Seed, Shape: d.shape}
}

// Save implements Trainee.
func (d *DQN) Save(w io.Writer) error {
	t := d.train
	random, err := t.source.MarshalBinary()
	if err != nil {
		return fmt.Errorf("write checkpoint of dqn: %w", err)
	}
	c := dqnCheckpoint{Head: d.head(), Random: random, Memory: *t.memory, Params: d.net.Params, Target: t.target.Params,
		Slow: t.slow.Params,
		M:    t.adam.M, V: t.adam.V, T: t.adam.T, Scaler: d.scaler, Known: d.known, Seen: t.seen, Updates: t.updates}
	if err := gob.NewEncoder(w).Encode(c); err != nil {
		return fmt.Errorf("write checkpoint of dqn: %w", err)
	}
	return nil
}

// Restore implements Trainee.
func (d *DQN) Restore(r io.Reader) error {
	var c dqnCheckpoint
	if err := gob.NewDecoder(r).Decode(&c); err != nil {
		return fmt.Errorf("read checkpoint of dqn: %w", err)
	}
	t := d.train
	if err := c.Head.check(d.head()); err != nil {
		return fmt.Errorf("read checkpoint of dqn: %w", err)
	}
	n := len(d.net.Params)
	if len(c.Params) != n || len(c.Target) != n || len(c.Slow) != n || c.T > 0 && (len(c.M) != n || len(c.V) != n) ||
		c.Memory.Width != t.memory.Width ||
		c.Memory.Picks != t.memory.Picks || c.Memory.Room != t.cfg.Room {
		return errors.New("read checkpoint of dqn: of a network of another shape, or other settings")
	}
	if err := t.source.UnmarshalBinary(c.Random); err != nil {
		return fmt.Errorf("read checkpoint of dqn: %w", err)
	}
	d.net.Params, t.target.Params, t.slow.Params = slices.Clone(c.Params), slices.Clone(c.Target), slices.Clone(c.Slow)
	t.adam.M, t.adam.V, t.adam.T = c.M, c.V, c.T
	d.scaler, d.known, t.seen, t.updates = c.Scaler, c.Known, c.Seen, c.Updates
	t.memory, t.before = &c.Memory, nil
	return nil
}
