package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/arena/autoscale"
)

const autoscalePolicies = "threshold,dqn,planner"

func newArenaAutoscale(e *env) *cobra.Command {
	var f ownFlags
	cmd := &cobra.Command{
		Use:   "autoscale [flags] [WORLD]",
		Short: "Compare who sets replicas and processors in the world of autoscaled microservices",
		Long: `Play an hour of load over a chain of microservices: policies see load, forecast, response time and
utilisation, and set replicas and processors. Reward: R_qos / R_util with an objective of 400 ms.
WORLD is ` + autoscale.Autoscaled + ` (default) or a scenario file with load, objective and [[service]].

Policies: threshold (Kubernetes' rule), dqn (a deep Q-network after --learn of the world) and planner (Trimtab's:
utilisation law, queueing theory, forecast). --world emulated plays against real HTTP servers on loopback.`,
		Example: `  trimtab arena autoscale --seeds 20
  trimtab arena autoscale --world emulated --scale 0.02 --seeds 1 --policy threshold,planner`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.command = commandLine(cmd, args)
			return runAutoscale(cmd.Context(), e, &f, worldArg(args))
		},
	}
	f.add(cmd, "autoscale", autoscalePolicies, 40*time.Hour, 0.02)
	return cmd
}

// trainAutoscale lets a learner play whole runs of the world for the time of --learn.
func (f *ownFlags) trainAutoscale(ctx context.Context, w *autoscale.World) (*autoscale.Learner, string, error) {
	l, err := autoscale.NewLearner(w, 1)
	if err != nil {
		return nil, "", err
	}
	began, runs := time.Now(), int(math.Ceil(f.learn.Minutes()/w.Minutes))
	for i := range runs {
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		if err := l.Train(1, ownTrainingSeed+uint64(i)); err != nil {
			return nil, "", err
		}
	}
	return l, fmt.Sprintf("dqn learned %s of the world in %s.", f.learn, time.Since(began).Round(time.Second)), nil
}

func runAutoscale(ctx context.Context, e *env, f *ownFlags, name string) error {
	if err := f.validate(); err != nil {
		return err
	}
	w, err := autoscale.Load(name)
	if err != nil {
		return withCode(exitConfig, err)
	}
	var backends *autoscale.Backends
	if f.world == "emulated" {
		if backends, err = autoscale.StartBackends(w, f.scale); err != nil {
			return withCode(exitConfig, err)
		}
		defer backends.Close()
	}
	var learner *autoscale.Learner
	learned := ""
	p := &ownPlay[autoscale.Result]{flags: f, known: autoscalePolicies,
		heads: []string{"policy", "reward", "95 %", "mean, ms", "p99, ms", "within the objective", "utilisation",
			"processors", "changes/h"},
		row: func(policy string, results []autoscale.Result) []string { return autoscaleRow(policy, w, results) },
		play: func(ctx context.Context, policy string, seed uint64) (r autoscale.Result, err error) {
			if policy == "dqn" && learner == nil {
				if learner, learned, err = f.trainAutoscale(ctx, w); err != nil {
					return r, err
				}
			}
			chosen := map[string]func() autoscale.Policy{
				"threshold": func() autoscale.Policy { return autoscale.NewThreshold(w, 0) },
				"planner":   func() autoscale.Policy { return autoscale.NewPlanner(w) },
				"dqn":       func() autoscale.Policy { return learner },
			}[policy]()
			if backends != nil {
				return w.Emulate(ctx, chosen, seed, backends)
			}
			return w.Play(chosen, seed)
		},
		object: func(policy string, seed uint64, r autoscale.Result) any {
			return struct {
				Policy string `json:"policy"`
				Seed   uint64 `json:"seed"`
				autoscale.Result
			}{policy, seed, r}
		}}
	rows, err := p.run(ctx, e)
	if err != nil {
		return err
	}
	return p.write("autoscale", w.Name, learned, rows)
}

// autoscaleRow is the row of a policy's results.
func autoscaleRow(name string, w *autoscale.World, results []autoscale.Result) []string {
	mean := func(of func(autoscale.Result) float64) float64 {
		sum := 0.0
		for _, r := range results {
			sum += of(r) / float64(len(results))
		}
		return sum
	}
	var rewards []float64
	for _, r := range results {
		rewards = append(rewards, r.Reward)
	}
	v := arena.EstimateOf(rewards)
	return []string{name, fmt.Sprintf("%.3f", v.Mean), fmt.Sprintf("%.3f to %.3f", v.Low, v.High),
		fmt.Sprintf("%.0f", mean(func(r autoscale.Result) float64 { return r.MeanMS })),
		fmt.Sprintf("%.0f", mean(func(r autoscale.Result) float64 { return r.P99MS })),
		fmt.Sprintf("%.1f %%", 100*mean(func(r autoscale.Result) float64 { return r.Met })),
		fmt.Sprintf("%.0f %%", 100*mean(func(r autoscale.Result) float64 { return r.Utilisation })),
		fmt.Sprintf("%.1f", mean(func(r autoscale.Result) float64 { return r.CPUs })),
		fmt.Sprintf("%.0f", mean(func(r autoscale.Result) float64 { return float64(r.Changes) })/(w.Minutes/60))}
}

// autoscaleJSON is what a policy reached in one episode.
type autoscaleJSON struct {
	Policy string `json:"policy"`
	Seed   uint64 `json:"seed"`
	autoscale.Result
}
