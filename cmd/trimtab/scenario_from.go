package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/deathstarbench"
	"trimtab/objective"
	"trimtab/pursuit"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
)

func newScenarioFrom(e *env) *cobra.Command {
	var name, method string
	var interval time.Duration
	var skipBad bool
	c := &cobra.Command{
		Use:   "from STATS...",
		Short: "Print a scenario made from stored statistics: servers, services and loads as they were seen",
		Long: `Observe stored statistics (stats.ndjson of trimtab collect, run or tune) as the daemon would, and print the
world that they show as a scenario: servers with the slots and service times that they are believed to have, a
workload for every upstream with the mean size of its answers, the weights in force last, and the load in phases. It
is the twin that trimtab plan plays. The statistics must hold enough for the tuner to know every server.

Paths are the upstreams' names: put your own requests (method, path, body) there before you play it on a testbed.

Exit codes: 0, 2 wrong usage, 3 statistics that cannot be read or say too little.`,
		Example: `  trimtab scenario from last-week.ndjson > mine.toml
  trimtab arena mine.toml --policy start,least_conn/tuned`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, files []string) error {
			if interval <= 0 {
				return withCode(exitUsage, fmt.Errorf("--interval %s: want more than 0", interval))
			}
			if method != deathstarbench.RoundRobin && method != deathstarbench.LeastConn {
				return withCode(exitUsage, fmt.Errorf("--method %q: want round_robin or least_conn", method))
			}
			if name == "" {
				name = nameOf(files[0])
			}
			sc, agreement, err := scenarioFrom(files, name, method, interval, skipBad)
			if err != nil {
				return withCode(exitConfig, err)
			}
			comment := fmt.Sprintf("Made by trimtab scenario from %s: %s, %d servers, %d upstreams.\n%s",
				strings.Join(files, " "), sc.Duration.Std().Round(time.Second), len(sc.Servers), len(sc.Upstreams), agreement)
			_, err = e.stdout.Write(sc.Format(comment))
			return err
		},
	}
	fl := c.Flags()
	fl.StringVar(&name, "name", "", "name of the scenario (default: that of the first file)")
	fl.StringVar(&method, "method", deathstarbench.RoundRobin, "balancing method that was in force: round_robin or "+
		"least_conn")
	fl.DurationVar(&interval, "interval", 5*time.Second, "length of the intervals that loads are counted over")
	fl.BoolVar(&skipBad, "skip-bad", false, "leave out statistics that cannot be read")
	return c
}

// nameOf is the name of a file without what tells its format, as a scenario may be called.
func nameOf(file string) string {
	base, _, _ := strings.Cut(filepath.Base(file), ".")
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, base)
	if strings.Trim(plain, "-") == "" {
		return "recorded"
	}
	return plain
}

// scenarioFrom has a tuner observe the statistics and writes down what it believes.
func scenarioFrom(
	files []string, name, method string, interval time.Duration, skipBad bool,
) (sc *deathstarbench.Scenario, agreement string, err error) {
	upstreams, err := recordedUpstreams(files, skipBad)
	if err != nil {
		return nil, "", err
	}
	aim := objective.Spec{Kind: objective.KindTardiness, Upstreams: map[string]objective.Terms{}}
	for _, u := range upstreams {
		aim.Upstreams[u] = objective.Terms{Importance: 1}
	}
	wanted, err := objective.New(aim)
	if err != nil {
		return nil, "", err
	}
	study, err := pursuit.NewStudy(pursuit.Config{Objective: wanted, Search: pursuit.Options{Interval: interval},
		Tuner: tuner.Config{Method: tuner.Method(method), Unlimited: true, Regimes: load.RegimeConfig{Observe: -1}}})
	if err != nil {
		return nil, "", err
	}
	seen := 0
	if _, err := vts.Samples(files, skipBad, func(s vts.Sample) error { seen++; study.Add(s); return nil }); err != nil {
		return nil, "", err
	}
	sc, recorded, played, err := study.Scenario(name)
	if err != nil {
		err = fmt.Errorf("%s: %d samples: %w", strings.Join(files, ", "), seen, err)
		if errors.Is(err, pursuit.ErrNothing) {
			err = fmt.Errorf("%w: record longer, with load", err)
		}
	}
	return sc, fmt.Sprintf("Mean response time: %.0f ms recorded, %.0f ms as the simulator plays it.", recorded*1e3,
		played*1e3), err
}
