package gym

import (
	"errors"
	"fmt"
	"slices"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/weights"
)

// WeightsID names the environment in which an action is the weights of all servers.
const WeightsID = "trimtab/weights-v1"

// weightsEnv is a scenario: an action is one weight per server of each group, of which the shares count; a step is a
// control interval.
type weightsEnv struct {
	env      *arena.Env
	scenario *deathstarbench.Scenario
	spec     Spec
	steps    int
	done     bool
}

// perServer are what an observation has of a server.
var perServer = []string{"share", "rate_per_s", "mean_ms", "in_flight", "error_ratio"}

// newWeights returns the environment; most limits the steps of an episode, 0: as long as the scenario.
func newWeights(sc *deathstarbench.Scenario, method string, live bool, most int) (*weightsEnv, error) {
	if sc == nil {
		return nil, errors.New("a scenario is wanted")
	}
	if method != "" && !slices.Contains(sim.Methods(), sim.Method(method)) {
		return nil, fmt.Errorf("unknown method %q", method)
	}
	long := int((sc.Duration+sc.ControlInterval-1)/sc.ControlInterval) - 1 // Reset plays the first interval
	if most == 0 || most > long {
		most = long
	}
	if most < 1 {
		return nil, fmt.Errorf("scenario %s: no step within %s", sc.Name, sc.Duration.Std())
	}
	var see, do []string
	for _, u := range sc.Upstreams {
		for _, s := range u.Servers {
			for _, f := range perServer {
				see = append(see, u.Name+"/"+s+"/"+f)
			}
			do = append(do, u.Name+"/"+s+"/weight")
		}
	}
	return &weightsEnv{
		env: arena.NewEnv(method, arena.SimOptions{Live: live, BucketsMsec: []float64{}}), scenario: sc, done: true,
		spec: Spec{API: API, ID: WeightsID, World: sc.Name, Observation: box(see, 0, Unbounded),
			Action: box(do, weights.Min, weights.Max),
			Reward: "−ART per request of the interval, as the clients saw it",
			Ends:   "never terminated: load goes on; truncated after max_steps intervals", MaxSteps: most},
	}, nil
}

func (w *weightsEnv) Spec() Spec { return w.spec }

func (w *weightsEnv) Reset(seed uint64) ([]float64, Info, error) {
	o, err := w.env.Reset(w.scenario, seed)
	if err != nil {
		return nil, nil, err
	}
	w.steps, w.done = 0, false
	return w.observe(&o), Info{"at_s": o.AtSec}, nil
}

// errEnded is returned by Step of an episode that is over.
var errEnded = errors.New("the episode is over: reset first")

func (w *weightsEnv) Step(action []float64) (Step, error) {
	if w.done {
		return Step{}, errEnded
	}
	if err := w.spec.Action.Check(action); err != nil {
		return Step{}, err
	}
	want := map[string][]float64{}
	for _, u := range w.scenario.Upstreams {
		var vector []float64
		for _, n := range weights.Quantise(action[:len(u.Servers)]) {
			vector = append(vector, float64(n.Int()))
		}
		want[u.Name], action = vector, action[len(u.Servers):]
	}
	o, reward, over, info, err := w.env.Step(want)
	if err != nil {
		return Step{}, err
	}
	w.steps++
	w.done = over || w.steps >= w.spec.MaxSteps
	return Step{Observation: w.observe(&o), Reward: reward, Truncated: w.done,
		Info: Info{"at_s": o.AtSec, "requests": float64(info.Requests),
			"errors": float64(info.Errors), "mean_ms": info.MeanMS, "p99_ms": info.P99MS,
			"reloads": float64(info.Reloads)}}, nil
}

// observe flattens an observation; what a lost poll leaves unknown is 0.
func (w *weightsEnv) observe(o *arena.Observation) []float64 {
	out := make([]float64, 0, w.spec.Observation.Width())
	for _, u := range w.scenario.Upstreams {
		i := slices.IndexFunc(o.Groups, func(g arena.GroupObservation) bool { return g.Upstream == u.Name })
		g := &o.Groups[i]
		sum := 0.0
		for _, n := range g.Weights {
			sum += float64(n)
		}
		for j := range u.Servers {
			row := []float64{float64(g.Weights[j]) / max(sum, 1), 0, 0, 0, 0}
			if j < len(g.RatePerSec) {
				row[1], row[2], row[3], row[4] = g.RatePerSec[j], g.MeanMS[j], g.InFlight[j], g.ErrorRatio[j]
			}
			out = append(out, row...)
		}
	}
	return out
}
