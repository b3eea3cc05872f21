package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/arena/edge"
)

type edgeFlags struct {
	ownFlags
	network string
	load    float64
}

const edgePolicies = "random,region-aware,dqn,believer"

func newArenaEdge(e *env) *cobra.Command {
	var f edgeFlags
	cmd := &cobra.Command{
		Use:   "edge [flags] [WORLD]",
		Short: "Compare who places requests in the network-aware world of edge and cloud",
		Long: `Play the world of edge and cloud: clients and servers in regions, delays by region and size, models of
different speed and accuracy, and requests that want an answer in time, of an accuracy, or are denied. Score: (timely
and correct + 0.7·only correct + 0.3·only timely − neither) / all. WORLD is
` + edge.EdgeCloud + ` (default) or a scenario file with [[region]], [network], [[server]] with models, and
[[client]].

Policies: random, region-aware (knows distances, slots and models), dqn (a deep Q-network after --learn of the world)
and believer (Trimtab's: measures, predicts, takes the best). --world emulated plays against real HTTP servers on
loopback.`,
		Example: `  trimtab arena edge --seeds 20
  trimtab arena edge --world emulated --scale 0.05 --seeds 1 --policy region-aware,believer
  trimtab arena edge my-world.toml --network off`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.command = commandLine(cmd, args)
			return runEdge(cmd.Context(), e, &f, worldArg(args))
		},
	}
	f.add(cmd, "edge", edgePolicies, time.Hour, 0.05)
	cmd.Flags().StringVar(&f.network, "network", "", "on or off: the delays of the network (default: the world's)")
	cmd.Flags().Float64Var(&f.load, "load", 1, "factor of all rates")
	return cmd
}

// read returns the world that is to be played.
func (f *edgeFlags) read(name string) (*edge.World, error) {
	w, err := edge.Load(name)
	if err != nil {
		return nil, err
	}
	switch f.network {
	case "on", "off":
		w.Network = f.network == "on"
	case "":
	default:
		return nil, fmt.Errorf("--network %q: want on or off", f.network)
	}
	for i := range w.Clients {
		w.Clients[i].Rate *= f.load
	}
	return w, w.Validate()
}

// edgeLearner is the learner that was trained, once for all seeds.
type edgeLearner struct {
	*edge.Learner
	took time.Duration
}

func (f *edgeFlags) policy(name string, w *edge.World, seed uint64, kept *edgeLearner) (edge.Policy, error) {
	switch name {
	case "random":
		return edge.NewRandom(w, seed), nil
	case "region-aware":
		return edge.NewRegionAware(w), nil
	case "dqn":
		if kept.Learner == nil {
			l, err := edge.NewLearner(w, 1)
			if err != nil {
				return nil, err
			}
			began := time.Now()
			if err := l.Train(f.learn.Seconds(), ownTrainingSeed); err != nil {
				return nil, err
			}
			*kept = edgeLearner{l, time.Since(began)}
		}
		return kept.Learner, nil
	}
	return edge.NewBeliever(w), nil
}

func runEdge(ctx context.Context, e *env, f *edgeFlags, name string) error {
	if err := f.validate(); err != nil {
		return err
	}
	if !(f.load > 0) {
		return withCode(exitUsage, fmt.Errorf("--load %v: want above 0", f.load))
	}
	w, err := f.read(name)
	if err != nil {
		return withCode(exitConfig, err)
	}
	var backends *edge.Backends
	if f.world == "emulated" {
		if backends, err = edge.StartBackends(w, f.scale); err != nil {
			return withCode(exitConfig, err)
		}
		defer backends.Close()
	}
	kept := &edgeLearner{}
	p := &ownPlay[edge.Score]{flags: &f.ownFlags, known: edgePolicies, row: edgeRow,
		heads: []string{"policy", "score", "95 %", "timely and correct", "only correct", "only timely", "neither",
			"denied", "mean, s", "decision"},
		play: func(ctx context.Context, policy string, seed uint64) (edge.Score, error) {
			p, err := f.policy(policy, w, seed, kept)
			switch {
			case err != nil:
				return edge.Score{}, err
			case backends != nil:
				return w.Emulate(ctx, p, seed, backends, f.scale)
			}
			return w.Play(p, seed)
		},
		object: func(policy string, seed uint64, s edge.Score) any {
			return struct {
				Policy string  `json:"policy"`
				Seed   uint64  `json:"seed"`
				Value  float64 `json:"score"`
				edge.Score
			}{policy, seed, s.Value(), s}
		}}
	rows, err := p.run(ctx, e)
	if err != nil {
		return err
	}
	learned := ""
	if kept.Learner != nil {
		learned = fmt.Sprintf("dqn learned %s of the world, %d requests, in %s.", f.learn, kept.Steps(),
			kept.took.Round(time.Second))
	}
	return p.write("edge", w.Name, learned, rows)
}

// edgeRow is the row of a policy's scores.
func edgeRow(name string, scores []edge.Score) []string {
	share := func(of func(edge.Score) int) string {
		n, all := 0, 0
		for _, s := range scores {
			n, all = n+of(s), all+s.Requests
		}
		return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(max(all, 1)))
	}
	var values []float64
	mean, us := 0.0, 0.0
	for _, s := range scores {
		values = append(values, s.Value())
		mean += s.MeanSec / float64(len(scores))
		us += s.PlaceUS / float64(len(scores))
	}
	v := arena.EstimateOf(values)
	return []string{name, fmt.Sprintf("%.3f", v.Mean), fmt.Sprintf("%.3f to %.3f", v.Low, v.High),
		share(func(s edge.Score) int { return s.Both }),
		share(func(s edge.Score) int { return s.OnlyCorrect }), share(func(s edge.Score) int { return s.OnlyTimely }),
		share(func(s edge.Score) int { return s.Neither }), share(func(s edge.Score) int { return s.Denied }),
		fmt.Sprintf("%.2f", mean), fmt.Sprintf("%.1f µs", us)}
}

// edgeJSON is what a policy reached in one episode.
type edgeJSON struct {
	Policy string  `json:"policy"`
	Seed   uint64  `json:"seed"`
	Value  float64 `json:"score"`
	edge.Score
}
