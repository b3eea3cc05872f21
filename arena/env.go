package arena

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/vts"
)

// Env is a scenario as an environment for reinforcement learning, in the manner of Gym: Reset begins an episode, Step
// sets weights and plays one control interval. It is not safe for concurrent use.
type Env struct {
	opts      SimOptions
	method    string
	scenario  *deathstarbench.Scenario
	deadlines map[string]time.Duration
	run       *sim.Sim
	steps     int
	reloads   int
}

// NewEnv returns an environment; the method overrides the scenarios', empty keeps it. Reset must come first.
func NewEnv(method string, o SimOptions) *Env {
	return &Env{opts: NewSimWorld(o).opts, method: method}
}

// Observation is what an agent sees: the statistics of the last control interval as the status page would tell them.
type Observation struct {
	AtSec    float64            `json:"at_s"`
	Interval float64            `json:"interval_s"`
	Lost     bool               `json:"lost"` // the poll failed: nothing is known of the interval
	Groups   []GroupObservation `json:"groups"`
}

// GroupObservation is the part of one upstream group, with a value per server in the order of Servers.
type GroupObservation struct {
	Upstream   string    `json:"upstream"`
	Workload   string    `json:"workload"`
	DeadlineMS float64   `json:"deadline_ms"`
	Servers    []string  `json:"servers"`
	Weights    []int     `json:"weights"`
	RatePerSec []float64 `json:"rate_per_s"`
	ErrorRatio []float64 `json:"error_ratio"` // 0 without requests
	MeanMS     []float64 `json:"mean_ms"`     // 0 without requests
	InFlight   []float64 `json:"in_flight"`   // mean, by Little's law
	BucketsMS  []float64 `json:"buckets_ms"`
	Buckets    [][]int   `json:"buckets"` // cumulative counts by server
}

// Info is what an agent must not learn from: the truth at the clients.
type Info struct {
	Requests      uint64  `json:"requests"`
	Errors        uint64  `json:"errors"`
	ARTPerRequest float64 `json:"art_per_request"`
	MeanMS        float64 `json:"mean_ms"`
	P99MS         float64 `json:"p99_ms"`
	Reloads       int     `json:"reloads"` // since Reset
	Steps         int     `json:"steps"`
}

// errNoEpisode is returned before the first Reset and after the last step.
var errNoEpisode = errors.New("no episode: reset first")

// Reset begins an episode on the scenario's starting weights and returns the observation of its first control
// interval.
func (e *Env) Reset(sc *deathstarbench.Scenario, seed uint64) (Observation, error) {
	e.run = nil
	if err := checkScenario(sc); err != nil {
		return Observation{}, err
	}
	deadlines, err := Deadlines(sc)
	if err != nil {
		return Observation{}, fmt.Errorf("scenario %s: %w", sc.Name, err)
	}
	w := SimWorld{opts: e.opts}
	if err := w.Reset(context.Background(), Run{Scenario: sc, Method: e.method, Seed: seed,
		Deadlines: deadlines}); err != nil {
		return Observation{}, err
	}
	e.scenario, e.deadlines, e.run, e.steps, e.reloads = sc, deadlines, w.run, 0, 0
	sample, err := e.run.Step()
	return e.observe(sample, err), nil
}

// Step sets the weights, plays one control interval and returns what was observed of it, the reward −ART per request as
// the clients saw it, and whether the episode is over. Weights are whole numbers from 1 to 100 by upstream, one for
// each server in the order of the observation; an upstream that is missing keeps its weights. A weight that is not a
// number, not whole, out of range, or a vector that is too short or too long is an error, and nothing is played.
func (e *Env) Step(weights map[string][]float64) (o Observation, reward float64, done bool, info Info, err error) {
	if e.run == nil || e.run.Done() {
		return Observation{}, 0, true, Info{}, errNoEpisode
	}
	settings := map[string]map[string]sim.Setting{}
	current, changed := e.run.Weights(), false
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		vector := weights[name]
		i := slices.IndexFunc(e.scenario.Upstreams, func(u deathstarbench.Upstream) bool { return u.Name == name })
		if i < 0 {
			return Observation{}, 0, false, Info{}, fmt.Errorf("weights: unknown upstream %q", name)
		}
		servers := e.scenario.Upstreams[i].Servers
		if len(vector) != len(servers) {
			return Observation{}, 0, false, Info{}, fmt.Errorf("weights of %s: %d values for %d servers", name,
				len(vector), len(servers))
		}
		settings[name] = map[string]sim.Setting{}
		for j, v := range vector {
			if !(v >= 1 && v <= 100) || v != math.Trunc(v) {
				return Observation{}, 0, false, Info{}, fmt.Errorf("weights of %s: %v for %s: want a whole number "+
					"from 1 to 100", name, v, servers[j])
			}
			set := sim.Setting{Weight: int(v)}
			settings[name][servers[j]] = set
			changed = changed || current[name][servers[j]] != set
		}
	}
	if changed {
		if err := e.run.SetWeights(settings); err != nil {
			return Observation{}, 0, false, Info{}, err
		}
		if !e.opts.Live {
			e.reloads++
		}
	}
	sample, lost := e.run.Step()
	e.steps++
	seen := sim.Sum(e.run.Interval())
	info = Info{Requests: seen.Requests, Errors: seen.Errors, ARTPerRequest: seen.ART(),
		MeanMS: msec(seen.Latency.Mean()),
		P99MS:  msec(seen.Latency.Quantile(0.99)), Reloads: e.reloads, Steps: e.steps}
	return e.observe(sample, lost), -info.ARTPerRequest, e.run.Done(), info, nil
}

func (e *Env) observe(s vts.Sample, lost error) Observation {
	o := Observation{AtSec: e.run.Now().Seconds(), Interval: s.Interval.Seconds(), Lost: lost != nil}
	weights := e.run.Weights()
	for _, u := range e.scenario.Upstreams {
		g := GroupObservation{Upstream: u.Name, Workload: u.Workload, DeadlineMS: msec(e.deadlines[u.Name]),
			Servers: u.Servers}
		for _, server := range u.Servers {
			g.Weights = append(g.Weights, weights[u.Name][server].Weight)
		}
		for _, sg := range s.Groups {
			if sg.Name != u.Name {
				continue
			}
			for _, p := range sg.Peers {
				g.RatePerSec = append(g.RatePerSec, p.RatePerSec(s.Interval))
				g.InFlight = append(g.InFlight, p.InFlight(s.Interval))
				g.MeanMS = append(g.MeanMS, msec(p.MeanResponse()))
				ratio := 0.0
				if p.Requests > 0 {
					ratio = float64(p.Responses.Errors()) / float64(p.Requests)
				}
				g.ErrorRatio = append(g.ErrorRatio, ratio)
				g.BucketsMS = p.BucketsMsec
				counts := make([]int, len(p.Buckets))
				for i, n := range p.Buckets {
					counts[i] = int(n)
				}
				g.Buckets = append(g.Buckets, counts)
			}
		}
		o.Groups = append(o.Groups, g)
	}
	return o
}
