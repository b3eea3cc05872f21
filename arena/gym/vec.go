package gym

import (
	"fmt"
	"runtime"
	"sync"

	"trimtab/arena/autoscale"
	"trimtab/arena/edge"
	"trimtab/deathstarbench"
)

// Options say which environments a Vec holds.
type Options struct {
	Env       string                   // one of IDs
	Scenario  *deathstarbench.Scenario // of WeightsID
	Edge      *edge.World              // of EdgeID
	Autoscale *autoscale.World         // of AutoscaleID
	Method    string                   // balancing method; empty: the scenario's
	Live      bool                     // weights change without a reload
	Park      ParkConfig
	Envs      int // 1 to MostEnvs; 0 means 1
	MaxSteps  int // 0: as many as the world has
	// NoAutoReset leaves environments that ended as they are: the next step is an error for them. It is for a single
	// one.
	NoAutoReset bool
}

// IDs are the names of all environments.
func IDs() []string { return []string{WeightsID, EdgeID, AutoscaleID, ParkID} }

// MostEnvs bounds the environments of a Vec.
const MostEnvs = 256

// Vec is several environments of one kind that are stepped together.
type Vec struct {
	mu   sync.Mutex
	opts Options
	envs []Env
	seed []uint64 // of the present episode
	spec Spec
}

// NewVec returns environments; Reset must come first.
func NewVec(o Options) (*Vec, error) {
	if o.Envs == 0 {
		o.Envs = 1
	}
	if o.Envs < 1 || o.Envs > MostEnvs || o.MaxSteps < 0 {
		return nil, fmt.Errorf("%d environments of at most %d steps: want 1 to %d, and 0 or more", o.Envs, o.MaxSteps,
			MostEnvs)
	}
	v := &Vec{opts: o, seed: make([]uint64, o.Envs)}
	for range o.Envs {
		var e Env
		var err error
		switch o.Env {
		case WeightsID:
			e, err = newWeights(o.Scenario, o.Method, o.Live, o.MaxSteps)
		case EdgeID:
			e, err = newEdge(o.Edge, o.MaxSteps)
		case AutoscaleID:
			e, err = newAutoscale(o.Autoscale, o.MaxSteps)
		case ParkID:
			e, err = newPark(o.Park)
		default:
			err = fmt.Errorf("%w %q: want one of %v", errUnknown, o.Env, IDs())
		}
		if err != nil {
			return nil, err
		}
		v.envs = append(v.envs, e)
	}
	v.spec = v.envs[0].Spec()
	return v, nil
}

// Spec describes one of the environments.
func (v *Vec) Spec() Spec { return v.spec }

// Len is the number of environments.
func (v *Vec) Len() int { return len(v.envs) }

// each calls do for every environment, on all processors, and returns the first error in their order.
func (v *Vec) each(do func(i int) error) error {
	errs := make([]error, len(v.envs))
	workers := min(runtime.GOMAXPROCS(0), len(v.envs))
	if workers == 1 {
		for i := range v.envs {
			errs[i] = do(i)
		}
	} else {
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := w; i < len(v.envs); i += workers {
					errs[i] = do(i)
				}
			})
		}
		wg.Wait()
	}
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("environment %d: %w", i, err)
		}
	}
	return nil
}

// Reset begins an episode in every environment, on its own seed.
func (v *Vec) Reset(seeds []uint64) (observations [][]float64, infos []Info, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(seeds) != len(v.envs) {
		return nil, nil, fmt.Errorf("%d seeds for %d environments", len(seeds), len(v.envs))
	}
	observations, infos = make([][]float64, len(v.envs)), make([]Info, len(v.envs))
	err = v.each(func(i int) (err error) {
		v.seed[i] = seeds[i]
		observations[i], infos[i], err = v.envs[i].Reset(seeds[i])
		return err
	})
	return observations, infos, err
}

// Steps is what one step of all environments led to. Where an episode ended, Observations has the first of the next
// one, and Final the last of the old one; elsewhere Final is nil.
type Steps struct {
	Observations [][]float64 `json:"observations"`
	Rewards      []float64   `json:"rewards"`
	Terminated   []bool      `json:"terminated"`
	Truncated    []bool      `json:"truncated"`
	Infos        []Info      `json:"infos"`
	Final        [][]float64 `json:"final_observations"`
}

// Step plays one step in every environment. When one action is not in its space nothing is played anywhere.
func (v *Vec) Step(actions [][]float64) (*Steps, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := len(v.envs)
	if len(actions) != n {
		return nil, fmt.Errorf("%d actions for %d environments", len(actions), n)
	}
	for i, a := range actions {
		if err := v.spec.Action.Check(a); err != nil {
			return nil, fmt.Errorf("environment %d: %w", i, err)
		}
	}
	out := &Steps{Observations: make([][]float64, n), Rewards: make([]float64, n), Terminated: make([]bool, n),
		Truncated: make([]bool, n),
		Infos:     make([]Info, n), Final: make([][]float64, n)}
	err := v.each(func(i int) error {
		s, err := v.envs[i].Step(actions[i])
		if err != nil {
			return err
		}
		out.Observations[i], out.Rewards[i], out.Terminated[i], out.Truncated[i], out.Infos[i] = s.Observation,
			s.Reward, s.Terminated, s.Truncated, s.Info
		if !s.Terminated && !s.Truncated || v.opts.NoAutoReset {
			return nil
		}
		out.Final[i] = s.Observation
		v.seed[i] += uint64(n) // the seeds of the environments stay apart
		out.Observations[i], _, err = v.envs[i].Reset(v.seed[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
