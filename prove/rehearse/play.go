package rehearse

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/prove"
	"trimtab/vts"
	"trimtab/weights"
)

// epoch is when simulated experiments begin: what matters of it is the hour of the day.
var epoch = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// Fixed is a policy that wants the same weights all the time: tuned ones that are known.
type Fixed struct {
	Want  weights.Set
	asked bool
}

// Observe implements control.Policy.
func (*Fixed) Observe(vts.Sample, weights.Set) {}

// Choose implements control.Policy.
func (f *Fixed) Choose() control.Decision {
	if f.asked {
		return control.Decision{}
	}
	return control.Decision{Weights: f.Want, Reason: "fixed"}
}

// Committed implements control.Policy.
func (f *Fixed) Committed(control.Receipt) { f.asked = true }

// world is a scenario that is being played.
type world struct {
	*sim.Sim
	operator, tuned weights.Set
}

// newWorld makes the scenario last for as long as an experiment needs.
func newWorld(sc *deathstarbench.Scenario, lasts time.Duration, seed uint64) (*world, error) {
	long := *sc
	long.Duration = deathstarbench.Duration(lasts)
	s, err := sim.New(&long, sim.Options{Seed: seed, ApplyDelay: 120 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	w := &world{Sim: s, operator: weights.Set{}}
	for group, servers := range s.Weights() {
		w.operator[group] = make(weights.Group, len(servers))
		for server, o := range servers {
			w.operator[group][server] = weights.Setting{Weight: weights.Clamp(o.Weight), Down: o.Down}
		}
	}
	w.tuned = w.operator.Clone()
	return w, nil
}

// set puts weights in force.
func (w *world) set(want weights.Set) error {
	out := make(map[string]map[string]sim.Setting, len(want))
	for group, servers := range want {
		out[group] = make(map[string]sim.Setting, len(servers))
		for server, s := range servers {
			out[group][server] = sim.Setting{Weight: s.Weight.Int(), Down: s.Down}
		}
	}
	return w.SetWeights(out)
}

// lead is how long a policy acts before an experiment begins: a daemon has been running when somebody asks what it
// brings.
const lead = 3 * time.Minute

// Play plays an experiment on the scenario, the tuned arm being the policy's.
func Play(ctx context.Context, sc *deathstarbench.Scenario, plan prove.Plan, seed uint64,
	policy control.Policy) (*prove.Experiment, error) {
	plan = plan.WithDefaults()
	w, err := newWorld(sc, lead+2*plan.Duration+time.Hour, seed)
	if err != nil {
		return nil, err
	}
	now := epoch
	var x *prove.Experiment
	for !w.Done() && ctx.Err() == nil {
		sample, err := w.Step()
		if errors.Is(err, sim.ErrPollLost) {
			continue
		}
		if err != nil {
			return nil, err
		}
		now = now.Add(sample.Interval)
		if x == nil && now.Sub(epoch) >= lead {
			x = prove.New(plan, seed, now)
			x.Target = sc.Name
		}
		policy.Observe(sample, control.InForce(sample))
		var news prove.News
		if x != nil {
			if news = x.Observe(now, sample, 0); x.Ended() {
				return x, nil
			}
		}
		if err := w.follow(x, policy, news, now); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the experiment did not end within %v", w.Now())
}

// follow puts the weights of the arm in force, and what the policy wants while it is its turn.
func (w *world) follow(x *prove.Experiment, policy control.Policy, news prove.News, now time.Time) error {
	if news.Switch {
		want := w.tuned
		if x.Arm() == prove.Operator {
			want = w.operator
		}
		if err := w.set(want); err != nil {
			return err
		}
		policy.Committed(control.Receipt{Want: want}) // not somebody else's
		x.Begin(now)
		return nil
	}
	if x != nil && x.Arm() == prove.Operator {
		return nil
	}
	d := policy.Choose()
	if len(d.Weights) == 0 {
		return nil
	}
	if err := w.set(d.Weights); err != nil {
		return err
	}
	for group, servers := range d.Weights {
		w.tuned[group] = servers
	}
	policy.Committed(control.Receipt{Want: d.Weights, Changed: true, Reloaded: true})
	return nil
}

// Truth is the mean of a measure's differences, in logarithms where it is relative, and its standard error: both arms
// played side by side over the same requests, for as many blocks as said, never switched.
func Truth(ctx context.Context, sc *deathstarbench.Scenario, tuned weights.Set, plan prove.Plan, m prove.Measure,
	blocks int,
	seed uint64) (change, stderr float64, err error) {
	plan = plan.WithDefaults()
	var values [2][]float64
	for i := range values {
		w, err := newWorld(sc, time.Duration(blocks+2)*(plan.Block+plan.WashOut), seed)
		if err != nil {
			return 0, 0, err
		}
		if i == 1 {
			if err := w.set(tuned); err != nil {
				return 0, 0, err
			}
		}
		x := prove.New(prove.Plan{Block: plan.Block, WashOut: plan.WashOut, Duration: 80 * 24 * time.Hour,
			LeastRequests: plan.LeastRequests,
			LeastPairs:    1 << 30, Deadlines: plan.Deadlines}, seed, epoch)
		now := epoch
		for !w.Done() && ctx.Err() == nil {
			sample, err := w.Step()
			if err != nil {
				return 0, 0, err
			}
			now = now.Add(sample.Interval)
			if x.Observe(now, sample, 0).Switch {
				x.Begin(now)
			}
		}
		for _, p := range x.Stages[0].Pairs {
			for _, b := range []*prove.Block{&p.First, p.Second} {
				if b != nil {
					values[i] = append(values[i], b.Value(m, "", x.Stages[0].Deadlines))
				}
			}
		}
	}
	n := min(len(values[0]), len(values[1]))
	sum, square := 0.0, 0.0
	for i := range n {
		d := values[1][i] - values[0][i]
		if m != prove.ART && m != prove.Errors {
			d = math.Log(values[1][i] / values[0][i])
		}
		sum += d
		square += d * d
	}
	mean := sum / float64(n)
	return mean, math.Sqrt(math.Max(0, square/float64(n)-mean*mean) / float64(n)), ctx.Err()
}
