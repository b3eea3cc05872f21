package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/arena/autoscale"
)

type autoscaleFlags struct {
	policies, markdown, command string
	seeds, runs                 int
	seed                        uint64
	json                        bool
}

const autoscalePolicies = "threshold,dqn,planner"

func newArenaAutoscale(e *env) *cobra.Command {
	var f autoscaleFlags
	cmd := &cobra.Command{
		Use:   "autoscale [flags]",
		Short: "Compare who sets replicas and processors in the world of autoscaled microservices",
		Long: `Play an hour of load over a chain of microservices: policies see load, forecast, response time and
utilisation, and set replicas and processors. Reward: R_qos / R_util with an objective of 400 ms. Policies: threshold
(Kubernetes' rule), dqn (trained for --runs hours) and planner (Trimtab's: utilisation law, queueing theory,
forecast). In the simulator only.`,
		Example: `  trimtab arena autoscale --seeds 20`,
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.command = commandLine(cmd, args)
			return runAutoscale(cmd.Context(), e, &f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.policies, "policy", autoscalePolicies, "comma-separated list of policies")
	fl.StringVar(&f.markdown, "markdown", "", "rewrite the table between the autoscale's marks in this Markdown file")
	fl.IntVar(&f.seeds, "seeds", 20, "number of seeds")
	fl.Uint64Var(&f.seed, "seed", 1, "first seed; the others count up from it")
	fl.IntVar(&f.runs, "runs", 60, "hours of the world that dqn is trained for")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per run instead of the table")
	return cmd
}

func runAutoscale(ctx context.Context, e *env, f *autoscaleFlags) error {
	if f.seeds < 1 || f.runs < 0 {
		return withCode(exitUsage, fmt.Errorf("--seeds %d, --runs %d: want at least 1 and 0", f.seeds, f.runs))
	}
	w, began, trained := autoscale.Default(), time.Now(), time.Duration(0)
	heads := []string{"policy", "reward", "95 %", "mean, ms", "p99, ms", "within 400 ms", "utilisation", "processors",
		"changes/h"}
	var rows [][]string
	for name := range strings.SplitSeq(f.policies, ",") {
		name = strings.TrimSpace(name)
		var learner *autoscale.Learner
		if name == "dqn" {
			var err error
			if learner, err = autoscale.NewLearner(w, f.seed); err != nil {
				return err
			}
			from := time.Now()
			for i := range f.runs {
				if ctx.Err() != nil {
					return withCode(exitInterrupted, fmt.Errorf("interrupted after %d hours of training: %w", i,
						ctx.Err()))
				}
				if err := learner.Train(1, edgeTrainingSeed+uint64(i)); err != nil {
					return err
				}
			}
			trained = time.Since(from)
		}
		var results []autoscale.Result
		for i := range f.seeds {
			seed := f.seed + uint64(i)
			var p autoscale.Policy
			switch name {
			case "threshold":
				p = autoscale.NewThreshold(w, 0)
			case "planner":
				p = autoscale.NewPlanner(w)
			case "dqn":
				p = learner
			default:
				return withCode(exitUsage, fmt.Errorf("policy %q: want one of %s", name, autoscalePolicies))
			}
			if ctx.Err() != nil {
				return withCode(exitInterrupted, fmt.Errorf("interrupted while %s was played: %w", name, ctx.Err()))
			}
			r, err := w.Play(p, seed)
			if err != nil {
				return err
			}
			if f.json {
				if err := printJSON(e.stdout, autoscaleJSON{name, seed, r}); err != nil {
					return err
				}
			}
			results = append(results, r)
		}
		rows = append(rows, autoscaleRow(name, w, results))
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
	text := origin(f.command, len(rows)*f.seeds, "autoscaled microservices", time.Since(began))
	if trained > 0 {
		text += fmt.Sprintf(" dqn was trained for %d hours of the world in %s.", f.runs, trained.Round(time.Second))
	}
	return withCode(exitConfig, arena.RewriteMarkdown(f.markdown, "autoscale",
		[]byte(text+"\n\n"+arena.MarkdownTable(heads, rows))))
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
