package gym

import (
	"errors"
	"math"

	"trimtab/arena/autoscale"
)

// AutoscaleID names the environment in which an action sizes the services of autoscaled microservices.
const AutoscaleID = "trimtab/autoscale-v1"

// autoscaleEnv is that world: an action is the replicas and the step of processors of every service, rounded; a step is
// an interval.
type autoscaleEnv struct {
	w       *autoscale.World
	spec    Spec
	episode *autoscale.Episode // nil: over
	steps   int
}

// newAutoscale returns the environment; most limits the steps of an episode, 0: as long as the world.
func newAutoscale(w *autoscale.World, most int) (*autoscaleEnv, error) {
	if w == nil {
		return nil, errors.New("a world is wanted")
	}
	long := int(w.Minutes*60/w.IntervalSec) - 1 // Reset plays the first interval
	if most == 0 || most > long {
		most = long
	}
	if most < 1 {
		return nil, errors.New("no step within the world's time")
	}
	var names []string
	var high []float64
	for _, s := range w.Services {
		names = append(names, s.Name+"/replicas", s.Name+"/cpu_step")
		high = append(high, float64(s.Most), float64(len(autoscale.CPUs())-1))
	}
	action := box(names, 0, 0)
	action.High = high
	for i := 0; i < len(names); i += 2 {
		action.Low[i] = 1
	}
	return &autoscaleEnv{w: w, spec: Spec{API: API, ID: AutoscaleID, World: w.Name,
		Observation: box(w.Features(), 0, Unbounded), Action: action,
		Reward: "R_qos/R_util of the interval: 1 within the objective and all replicas busy",
		Ends:   "never terminated: load goes on; truncated after max_steps intervals", MaxSteps: most}}, nil
}

func (a *autoscaleEnv) Spec() Spec { return a.spec }

func (a *autoscaleEnv) Reset(seed uint64) ([]float64, Info, error) {
	a.episode = nil
	e, err := a.w.Begin(seed)
	if err != nil {
		return nil, nil, err
	}
	s, err := e.Next()
	if err != nil {
		return nil, nil, err
	}
	a.episode, a.steps = e, 0
	return a.observe(s), Info{"mean_ms": 1e3 * s.MeanSec}, nil
}

// observe is what was seen; a forecast below 0 says that none is expected.
func (a *autoscaleEnv) observe(s *autoscale.Seen) []float64 {
	out := make([]float64, a.spec.Observation.Width())
	s.FeaturesTo(out)
	for i := range out {
		out[i] = max(out[i], 0)
	}
	return out
}

func (a *autoscaleEnv) Step(action []float64) (Step, error) {
	if a.episode == nil {
		return Step{}, errEnded
	}
	if err := a.spec.Action.Check(action); err != nil {
		return Step{}, err
	}
	var sizes []autoscale.Size
	for i := 0; i < len(action); i += 2 {
		sizes = append(sizes, autoscale.Size{Replicas: int(math.Round(action[i])), CPU: int(math.Round(action[i+1]))})
	}
	a.episode.Scale(sizes)
	s, err := a.episode.Next()
	if err != nil {
		return Step{}, err
	}
	a.steps++
	out := Step{Observation: a.observe(s), Reward: s.Reward, Info: Info{"mean_ms": 1e3 * s.MeanSec}}
	if a.steps == a.spec.MaxSteps {
		out.Truncated, a.episode = true, nil
	}
	return out, nil
}
