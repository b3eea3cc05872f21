package arena

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/fleet"
	"trimtab/vts"
	"trimtab/weights"
)

// Shared is a policy that several balancers run together, as daemons of a fleet do: one central policy observes what
// all of them saw. In a world with one balancer it is the policy that each has for itself.
type Shared struct {
	control.Policy
	// NewCentral makes the policy that observes all.
	NewCentral func() (control.Policy, error)
}

// NewShared makes fleets of the policy given.
func NewShared(each NewPolicy) NewPolicy {
	return func(ctx context.Context, c Case) (control.Policy, error) {
		own, err := each(ctx, c)
		return &Shared{Policy: own, NewCentral: func() (control.Policy, error) { return each(ctx, c) }}, err
	}
}

// fleetWorld is a World with several balancers.
type fleetWorld interface {
	World
	// StepAll plays one control interval and returns what each balancer saw of it.
	StepAll(ctx context.Context) (Interval, []vts.Sample, error)
	SetWeightsOf(balancer int, w weights.Set) (control.Receipt, error)
	WeightsOf(balancer int) weights.Set
}

// fleetLoop lets one policy per balancer control a world, and with Shared a centre beside them.
type fleetLoop struct {
	world    fleetWorld
	scenario *deathstarbench.Scenario
	nodes    []control.Policy
	centre   *fleet.Centre
	wires    []*wire
	reloads  int
}

// newFleetLoop makes the policies of a run.
func newFleetLoop(ctx context.Context, world World, c Case, p Policy) (*fleetLoop, error) {
	w, ok := world.(fleetWorld)
	if !ok {
		return nil, errors.New("this world has one balancer only: play scenarios with [[balancer]] in the simulator")
	}
	l := &fleetLoop{world: w, scenario: c.Scenario}
	for i := range c.Scenario.Balancers {
		own := c
		own.Seed = c.Seed + uint64(i)<<32
		policy, err := p.New(ctx, own)
		if err != nil {
			return nil, err
		}
		shared, ok := policy.(*Shared)
		if !ok {
			l.nodes = append(l.nodes, policy)
			continue
		}
		if l.centre == nil {
			central, err := shared.NewCentral()
			if err != nil {
				return nil, err
			}
			if l.centre, err = fleet.NewCentre(fleet.CentreConfig{Policy: central,
				Interval: c.Scenario.ControlInterval.Std(), Epoch: 1}); err != nil {
				return nil, err
			}
		}
		b := &c.Scenario.Balancers[i]
		wire := &wire{balancer: b, loop: l}
		node, err := fleet.NewNode(fleet.NodeConfig{Name: nodeName(i), Local: shared.Policy, Link: wire,
			Limits: fleet.Limits{Eject: true, Age: time.Minute + 2*b.TelemetryDelay.Std()}, Clock: wire.clock,
			Patience: max(15*time.Second, 4*c.Scenario.ControlInterval.Std()) + b.TelemetryDelay.Std()})
		if err != nil {
			return nil, err
		}
		l.nodes, l.wires = append(l.nodes, node), append(l.wires, wire)
	}
	return l, nil
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i+1) }

// wire is the way between a balancer and the centre of a simulated fleet.
type wire struct {
	balancer *deathstarbench.Balancer
	loop     *fleetLoop
	now      time.Duration // of the run
	wall     time.Time
	up       []parcel[fleet.Sample] // on their way to the centre
	down     []parcel[fleet.Plan]
	heard    fleet.Plan
	heardAt  time.Time
	any      bool
	number   uint64
}

// parcel is something on its way.
type parcel[T any] struct {
	due  time.Duration
	what T
}

func (w *wire) clock() time.Time { return w.wall }

// Boot implements fleet.Link.
func (w *wire) Boot() string { return "1" }

// Next implements fleet.Link.
func (w *wire) Next() uint64 {
	w.number++
	return w.number
}

// Send implements fleet.Link. What is sent while nothing passes is lost.
func (w *wire) Send(s fleet.Sample) {
	if w.balancer.Linked(w.now) {
		w.up = append(w.up, parcel[fleet.Sample]{w.now + w.balancer.TelemetryDelay.Std(), s})
	}
}

// Heard implements fleet.Link.
func (w *wire) Heard() (fleet.Plan, time.Time, bool) { return w.heard, w.heardAt, w.any }

// Student implements fleet.Link.
func (w *wire) Student(version uint64) *fleet.Student {
	if s := w.loop.centre.Student(); s != nil && s.Version == version && w.balancer.Linked(w.now) {
		return s
	}
	return nil
}

// arrive takes over what has come by the time given.
func (w *wire) arrive(now time.Duration, wall time.Time) {
	w.now, w.wall = now, wall
	for len(w.down) > 0 && w.down[0].due <= now {
		if w.balancer.Linked(now) {
			w.heard, w.heardAt, w.any = w.down[0].what, wall, true
		}
		w.down = w.down[1:]
	}
}

// Step plays one control interval at all balancers.
func (l *fleetLoop) Step(ctx context.Context) (iv Interval, reason string, err error) {
	iv, samples, err := l.world.StepAll(ctx)
	if err != nil || iv.Done {
		return iv, "", err
	}
	for i, s := range samples {
		if len(l.wires) > 0 {
			l.wires[i].arrive(iv.At, s.At)
		}
		why, err := l.control(i, s)
		if err != nil {
			return iv, why, fmt.Errorf("balancer %s after %s: %w", l.scenario.Balancers[i].Name, iv.At, err)
		}
		if i == 0 {
			reason = why
		}
	}
	if l.centre == nil {
		return iv, reason, nil
	}
	half := l.scenario.ControlInterval.Std() / 2
	return iv, reason, l.plan(iv.At+half, samples[0].At.Add(half))
}

// plan has the centre take in what has come, and sends what it plans. The clocks of centre and nodes are not in step: a
// centre plans in the middle between two intervals of its nodes, which is the mean.
func (l *fleetLoop) plan(now time.Duration, wall time.Time) error {
	return control.Contain(func() {
		for _, w := range l.wires {
			for len(w.up) > 0 && w.up[0].due <= now {
				if w.balancer.Linked(now) {
					_ = l.centre.Receive(w.up[0].what, wall) // what it refuses it counts
				}
				w.up = w.up[1:]
			}
		}
		plans := l.centre.Step(wall)
		for _, w := range l.wires {
			if w.balancer.Linked(now) {
				w.down = append(w.down, parcel[fleet.Plan]{now + w.balancer.TelemetryDelay.Std(), plans[0]})
			}
		}
	})
}

// control has one balancer's policy observe and choose, and sets what it chose.
func (l *fleetLoop) control(i int, s vts.Sample) (reason string, err error) {
	var d control.Decision
	if err := control.Contain(func() {
		l.nodes[i].Observe(s, l.world.WeightsOf(i))
		d = l.nodes[i].Choose()
	}); err != nil {
		return "", err
	}
	if len(d.Weights) == 0 {
		return d.Reason, nil
	}
	if err := CheckWeights(l.scenario, d.Weights); err != nil {
		return d.Reason, err
	}
	receipt, err := l.world.SetWeightsOf(i, d.Weights)
	if err != nil {
		return d.Reason, err
	}
	if receipt.Changed && receipt.Reloaded {
		l.reloads++
	}
	receipt.Want = d.Weights
	return d.Reason, control.Contain(func() { l.nodes[i].Committed(receipt) })
}

// StepAll implements fleetWorld.
func (w *SimWorld) StepAll(ctx context.Context) (Interval, []vts.Sample, error) {
	if err := ctx.Err(); err != nil {
		return Interval{}, nil, err
	}
	samples := w.run.StepAll()
	iv := Interval{At: w.run.Now(), Sample: samples[0], Done: w.run.Done()}
	for _, s := range samples {
		w.tally(&s)
	}
	iv.Client = w.seen()
	return iv, samples, nil
}

// SetWeightsOf implements fleetWorld.
func (w *SimWorld) SetWeightsOf(balancer int, want weights.Set) (control.Receipt, error) {
	settings, changed := w.settings(want, w.run.WeightsOf(balancer))
	if !changed {
		return control.Receipt{}, nil
	}
	if err := w.run.SetWeightsOf(balancer, settings); err != nil {
		return control.Receipt{}, err
	}
	return control.Receipt{Changed: true, Reloaded: !w.opts.Live, Took: w.opts.ApplyDelay}, nil
}

// WeightsOf implements fleetWorld.
func (w *SimWorld) WeightsOf(balancer int) weights.Set { return weightsOf(w.run.WeightsOf(balancer)) }

var _ fleetWorld = (*SimWorld)(nil)

func weightsOf(settings map[string]map[string]sim.Setting) weights.Set {
	out := weights.Set{}
	for group, servers := range settings {
		m := make(map[string]weights.Setting, len(servers))
		for server, s := range servers {
			weight, err := weights.New(s.Weight)
			if err != nil {
				panic("arena: the simulator has " + err.Error())
			}
			m[server] = weights.Setting{Weight: weight, Down: s.Down}
		}
		out[group] = m
	}
	return out
}
