package main

import (
	"fmt"
	"strings"
	"time"

	"trimtab/arena"
)

// comparisonJSON is one policy against one baseline.
type comparisonJSON struct {
	Kind           string             `json:"kind"`
	Policy         string             `json:"policy"`
	Baseline       string             `json:"baseline"`
	Worlds         int                `json:"worlds"`
	P99Ratio       float64            `json:"p99_ratio"`
	Low            float64            `json:"p99_ratio_low"`
	High           float64            `json:"p99_ratio_high"`
	ART            float64            `json:"art_ratio"`
	Above          map[string]float64 `json:"share_above"`
	Worst          float64            `json:"worst_p99_ratio"`
	WorstWorld     string             `json:"worst_world"`
	Errors         float64            `json:"error_ratio"`
	BaselineErrors float64            `json:"baseline_error_ratio"`
	ChangesPerHour float64            `json:"changes_per_h"`
	Cells          int                `json:"cells"`
	Failed         int                `json:"failed_cells"`
}

// worldJSON is one policy against one baseline in one world.
type worldJSON struct {
	Kind     string `json:"kind"`
	Policy   string `json:"policy"`
	Baseline string `json:"baseline"`
	arena.WorldRatio
	About string `json:"about"`
}

// failureJSON is one cell that could not be played.
type failureJSON struct {
	Kind   string `json:"kind"`
	World  string `json:"world"`
	Policy string `json:"policy"`
	Seed   uint64 `json:"seed"`
	Error  string `json:"error"`
}

func (r *worldsResults) printJSON(report *arena.WorldsReport) error {
	for _, c := range report.Comparisons {
		line := comparisonJSON{
			Kind: "comparison", Policy: c.Policy, Baseline: c.Baseline, Worlds: len(c.Worlds),
			P99Ratio: c.P99Ratio.Mean, Low: c.P99Ratio.Low, High: c.P99Ratio.High, ART: c.ARTRatio, Above: map[string]float64{},
			Errors: c.Errors, BaselineErrors: c.BaselineErrors, ChangesPerHour: c.ChangesPerHour,
			Cells: c.Cells, Failed: c.Failed,
		}
		for i, t := range arena.Thresholds() {
			line.Above[fmt.Sprint(t)] = c.Above[i]
		}
		if len(c.Worlds) > 0 {
			line.Worst, line.WorstWorld = c.Worlds[0].Ratio, c.Worlds[0].World
		}
		if err := printJSON(r.e.stdout, line); err != nil {
			return err
		}
	}
	for _, c := range report.Comparisons {
		for _, w := range c.Worlds {
			line := worldJSON{
				Kind: "world", Policy: c.Policy, Baseline: c.Baseline,
				WorldRatio: w, About: r.about[w.World],
			}
			if err := printJSON(r.e.stdout, line); err != nil {
				return err
			}
		}
	}
	return r.printFailures()
}

func (r *worldsResults) printFailures() error {
	for _, f := range r.failures {
		line := failureJSON{
			Kind: "failure", World: f.Scenario, Policy: f.Policy, Seed: f.Seed,
			Error: f.Err.Error(),
		}
		if err := printJSON(r.e.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func (r *worldsResults) rewriteMarkdown(report *arena.WorldsReport, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", origin(r.f.command, len(r.rows), r.played(), took))
	if err := report.WriteMarkdown(&b); err != nil {
		return err
	}
	return arena.RewriteMarkdown(r.f.markdown, "worlds", []byte(b.String()))
}

// played says what was played, in words.
func (r *worldsResults) played() string {
	kind := "random"
	if r.f.recurring {
		kind = "recurring"
	}
	worlds := fmt.Sprintf("%d %s worlds from seed %d on", r.f.worlds, kind, r.f.first)
	if r.named {
		worlds = "the worlds that are named"
	}
	return fmt.Sprintf("%s with seeds %d to %d", worlds, r.f.seed, r.f.seed+uint64(r.f.seeds)-1)
}
