package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trimtab/deathstarbench"
)

func newScenario(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "scenario",
		Short: "Check, list and show scenario files: servers, upstream groups, load and faults of one world",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newScenarioCheck(e), newScenarioList(e), newScenarioShow(e), newScenarioRandom(e), newScenarioFrom(e))
	return c
}

func newScenarioCheck(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "check SCENARIO...",
		Short: "Report everything that is wrong with scenario files",
		Long: `Report everything that is wrong with scenario files, one line per fault with file and line number.
SCENARIO is the path of a file or the name of a built-in scenario. Exit code 3 when anything is wrong.`,
		Example: `  trimtab scenario check my.toml
  trimtab scenario check scenarios/*.toml`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			bad := 0
			for _, name := range args {
				s, err := deathstarbench.Load(name)
				if err != nil {
					bad++
					fmt.Fprintln(e.stderr, err)
					continue
				}
				if _, err := fmt.Fprintf(e.stdout, "%s: ok: %d servers, %d upstream groups, %s\n", name, len(s.Servers),
					len(s.Upstreams), s.Duration.Std()); err != nil {
					return err
				}
			}
			if bad > 0 {
				return withCode(exitConfig, fmt.Errorf("%d of %d scenarios are wrong: mend the lines above", bad,
					len(args)))
			}
			return nil
		},
	}
}

// scenarioSummary is one line of `scenario list`.
type scenarioSummary struct {
	Name        string  `json:"name"`
	Servers     int     `json:"server_count"`
	DurationS   float64 `json:"duration_s"`
	PeakPerS    float64 `json:"peak_rate_per_s"`
	Equal       float64 `json:"peak_utilisation_equal_weights"`
	Best        float64 `json:"peak_utilisation_best_split"`
	Faults      int     `json:"faults"`
	Description string  `json:"description"`
}

func summarise(name string) (scenarioSummary, error) {
	s, err := deathstarbench.Load(name)
	if err != nil {
		return scenarioSummary{}, err
	}
	source, err := deathstarbench.Source(name)
	if err != nil {
		return scenarioSummary{}, err
	}
	peak, err := s.Peak()
	if err != nil {
		return scenarioSummary{}, err
	}
	return scenarioSummary{
		Name: name, Servers: len(s.Servers), DurationS: s.Duration.Std().Seconds(), PeakPerS: peak.Rate,
		Equal: peak.Equal, Best: peak.Best, Faults: len(s.Faults), Description: describe(source),
	}, nil
}

// describe returns the comment that a scenario begins with, as one line.
func describe(source []byte) string {
	var words []string
	for line := range strings.Lines(string(source)) {
		comment, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !ok {
			break
		}
		words = append(words, strings.Fields(comment)...)
	}
	return strings.Join(words, " ")
}

func newScenarioList(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the built-in scenarios",
		Long: `List the built-in scenarios with the utilisation of their busiest server at the peak of the load: with equal
weights, and with the split of the requests that is best for it. Faults are left out of both.`,
		Example: `  trimtab scenario list
  trimtab scenario list --json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			table := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "NAME\tSERVERS\tDURATION\tPEAK/S\tEQUAL\tBEST\tFAULTS")
			for _, name := range deathstarbench.Names() {
				s, err := summarise(name)
				if err == nil && asJSON {
					err = printJSON(e.stdout, s)
				}
				if err != nil {
					return err
				}
				fmt.Fprintf(table, "%s\t%d\t%s\t%.0f\t%.0f %%\t%.0f %%\t%d\n", s.Name, s.Servers,
					time.Duration(s.DurationS*float64(time.Second)), s.PeakPerS, 100*s.Equal, 100*s.Best, s.Faults)
			}
			if asJSON {
				return nil
			}
			return table.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per scenario")
	return c
}

func newScenarioShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Print a built-in scenario, to start your own from",
		Example: `  trimtab scenario show capacity-1-2-4 > my.toml
  trimtab run --scenario my.toml`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			source, err := deathstarbench.Source(args[0])
			if errors.Is(err, deathstarbench.ErrNoScenario) {
				return withCode(exitConfig, err)
			}
			if err != nil {
				return err
			}
			_, err = e.stdout.Write(source)
			return err
		},
	}
}
