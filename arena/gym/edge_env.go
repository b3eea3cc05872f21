package gym

import (
	"errors"

	"trimtab/arena/edge"
)

// EdgeID names the environment in which an action places one request of the network-aware world of edge and cloud.
const EdgeID = "trimtab/edge-v1"

// edgeEnv is that world: an action is one model of one server, or to deny; a step is a request.
type edgeEnv struct {
	w       *edge.World
	spec    Spec
	choices []edge.Place
	episode *edge.Episode // nil: over
	steps   int
}

// newEdge returns the environment; most limits the steps of an episode, 0: as many as requests come.
func newEdge(w *edge.World, most int) (*edgeEnv, error) {
	if w == nil {
		return nil, errors.New("a world is wanted")
	}
	e := &edgeEnv{w: w, choices: w.Choices()}
	var names []string
	for _, c := range e.choices {
		names = append(names, c.Name(w))
	}
	e.spec = Spec{API: API, ID: EdgeID, World: w.Name, Observation: box(w.Features(), 0, Unbounded),
		Action: Space{Type: "discrete", N: len(names), Names: names},
		Reward: "what the answer will be worth: 1 timely and correct, 0.7 only correct, 0.3 only timely, −1 neither; " +
			"0 denied",
		Ends: "never terminated: load goes on; truncated when the world's time, or max_steps, is over", MaxSteps: most}
	return e, nil
}

func (e *edgeEnv) Spec() Spec { return e.spec }

func (e *edgeEnv) Reset(seed uint64) ([]float64, Info, error) {
	e.episode, e.steps = e.w.Begin(seed), 0
	r := e.episode.Next()
	if r == nil {
		e.episode = nil
		return nil, nil, errors.New("no request comes in this world's time")
	}
	return e.observe(r), Info{"at_s": r.At}, nil
}

func (e *edgeEnv) observe(r *edge.Request) []float64 {
	out := make([]float64, e.spec.Observation.Width())
	e.w.SeeTo(out, r, e.episode.Inside())
	return out
}

func (e *edgeEnv) Step(action []float64) (Step, error) {
	if e.episode == nil {
		return Step{}, errEnded
	}
	if err := e.spec.Action.Check(action); err != nil {
		return Step{}, err
	}
	o, worth, err := e.episode.Place(e.choices[int(action[0])])
	if err != nil {
		return Step{}, err
	}
	e.steps++
	next := e.episode.Next()
	s := Step{Observation: e.observe(next), Reward: worth, Info: Info{"at_s": o.Request.At, "total_s": o.TotalSec}}
	if next == nil || e.steps == e.spec.MaxSteps {
		s.Truncated, e.episode = true, nil
	}
	return s, nil
}
