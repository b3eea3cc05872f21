package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/arena/edge"
)

type edgeFlags struct {
	file, world, policies, network, markdown string
	seeds                                    int
	seed                                     uint64
	learn                                    time.Duration
	load, scale                              float64
	json                                     bool
	command                                  string
}

const edgePolicies = "random,region-aware,dqn,believer"

func newArenaEdge(e *env) *cobra.Command {
	var f edgeFlags
	cmd := &cobra.Command{
		Use:   "edge [flags]",
		Short: "Compare who places requests in the network-aware world of edge and cloud",
		Long: `Play the world of edge and cloud: clients and servers in regions, delays by region and size, models of
different speed and accuracy, and requests that want an answer in time, of an accuracy, or are denied. Score: (timely
and correct + 0.7·only correct + 0.3·only timely − neither) / all.

Policies: random, region-aware (knows distances, slots and models), dqn (a deep Q-network after --learn of the world)
and believer (Trimtab's: measures, predicts, takes the best). --world emulated plays against real HTTP servers on
loopback.`,
		Example: `  trimtab arena edge --seeds 20
  trimtab arena edge --world emulated --scale 0.05 --seeds 1 --policy region-aware,believer
  trimtab arena edge --file my-world.toml --network off`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.command = commandLine(cmd, args)
			return runEdge(cmd.Context(), e, &f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.file, "file", "", "world (default: two edges and a cloud)")
	fl.StringVar(&f.world, "world", "sim", "where to play: sim or emulated")
	fl.StringVar(&f.policies, "policy", edgePolicies, "comma-separated list of policies")
	fl.StringVar(&f.network, "network", "", "on or off: the delays of the network (default: the world's)")
	fl.StringVar(&f.markdown, "markdown", "", "rewrite the table between the edge's marks in this Markdown file")
	fl.IntVar(&f.seeds, "seeds", 20, "number of seeds")
	fl.Uint64Var(&f.seed, "seed", 1, "first seed; the others count up from it")
	fl.DurationVar(&f.learn, "learn", time.Hour, "time of the world that dqn learns for")
	fl.Float64Var(&f.load, "load", 1, "factor of all rates")
	fl.Float64Var(&f.scale, "scale", 0.05, "s here for one second of the emulated world")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per run instead of the table")
	return cmd
}

// read returns the world that is to be played.
func (f *edgeFlags) read() (*edge.World, error) {
	w := edge.Default()
	if f.file != "" {
		var err error
		if w, err = edge.Load(f.file); err != nil {
			return nil, err
		}
	}
	if f.network != "" {
		w.Network = f.network
	}
	for i := range w.Clients {
		w.Clients[i].Rate *= f.load
	}
	return w, w.Validate()
}

// edgeLearners keep trained learners: what they do is the same for every seed.
type edgeLearners struct {
	dqn     *edge.Learner
	trained time.Duration
}

func (f *edgeFlags) policy(name string, w *edge.World, seed uint64, kept *edgeLearners) (edge.Policy, error) {
	switch name {
	case "random":
		return edge.NewRandom(w, seed), nil
	case "region-aware":
		return edge.NewRegionAware(w), nil
	case "believer":
		return edge.NewBeliever(w), nil
	case "dqn":
		if kept.dqn == nil {
			l, err := edge.NewLearner(w, f.seed)
			if err != nil {
				return nil, err
			}
			began := time.Now()
			if err := l.Train(f.learn.Seconds(), edgeTrainingSeed); err != nil {
				return nil, err
			}
			kept.dqn, kept.trained = l, time.Since(began)
		}
		return kept.dqn, nil
	}
	return nil, fmt.Errorf("policy %q: want one of %s", name, edgePolicies)
}

// edgeTrainingSeed is far from the seeds that runs count from 1.
const edgeTrainingSeed = 1 << 32

func runEdge(ctx context.Context, e *env, f *edgeFlags) error {
	if f.seeds < 1 || f.learn < 0 || !(f.load > 0) || !(f.scale > 0 && f.scale <= 1) || f.world != "sim" &&
		f.world != "emulated" {
		return withCode(exitUsage, fmt.Errorf("--seeds %d, --learn %s, --load %v, --scale %v, --world %q: want at "+
			"least 1, 0, above 0, above 0 to 1, sim or emulated",
			f.seeds, f.learn, f.load, f.scale, f.world))
	}
	w, err := f.read()
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
	kept := &edgeLearners{}
	began := time.Now()
	heads := []string{"policy", "score", "95 %", "timely and correct", "only correct", "only timely", "neither",
		"denied", "mean, s", "decision"}
	var rows [][]string
	for name := range strings.SplitSeq(f.policies, ",") {
		name = strings.TrimSpace(name)
		var scores []edge.Score
		for i := range f.seeds {
			seed := f.seed + uint64(i)
			p, err := f.policy(name, w, seed, kept)
			if err != nil {
				return withCode(exitUsage, err)
			}
			var s edge.Score
			if backends != nil {
				s, err = w.Emulate(ctx, p, seed, backends, f.scale)
			} else if err = ctx.Err(); err == nil {
				s, err = w.Play(p, seed)
			}
			if ctx.Err() != nil {
				return withCode(exitInterrupted, fmt.Errorf("interrupted while %s was played: %w", name, ctx.Err()))
			}
			if err != nil {
				return err
			}
			if f.json {
				if err := printJSON(e.stdout, edgeJSON{name, seed, s.Value(), s}); err != nil {
					return err
				}
			}
			scores = append(scores, s)
		}
		rows = append(rows, edgeRow(name, scores))
	}
	if !f.json {
		tab := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(tab, "%s\t\n", strings.Join(heads, "\t"))
		for _, r := range rows {
			fmt.Fprintf(tab, "%s\t\n", strings.Join(r, "\t"))
		}
		if err := tab.Flush(); err != nil {
			return err
		}
	}
	if f.markdown == "" {
		return nil
	}
	text := origin(f.command, len(rows)*f.seeds, w.Name, time.Since(began))
	if kept.trained > 0 {
		text += fmt.Sprintf(" dqn learned %s of the world, %d requests, in %s.", f.learn, kept.dqn.Steps(),
			kept.trained.Round(time.Second))
	}
	return withCode(exitConfig, arena.RewriteMarkdown(f.markdown, "edge",
		[]byte(text+"\n\n"+arena.MarkdownTable(heads, rows))))
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
