package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"trimtab/cluster"
	"trimtab/vts"
)

// skipped counts what of the statistics went into no interval.
type skipped struct {
	Polls   map[string]int `json:"polls,omitempty"` // by reason
	Windows int            `json:"polls_in_short_windows"`
}

func (s skipped) String() string {
	var parts []string
	for _, reason := range sortedKeys(s.Polls) {
		parts = append(parts, fmt.Sprintf("%d %s", s.Polls[reason], reason))
	}
	if s.Windows > 0 {
		parts = append(parts, fmt.Sprintf("%d in windows cut short", s.Windows))
	}
	if len(parts) == 0 {
		return "no poll left out"
	}
	return "polls left out: " + strings.Join(parts, ", ")
}

func sortedKeys(m map[string]int) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// analyseStatistics finds the regimes in stored statistics.
func analyseStatistics(ctx context.Context, e *env, f *clusterFlags, paths []string, report *fitProgress) (*analysis,
	error) {
	a := &analysis{skipped: skipped{Polls: map[string]int{}}}
	collector := cluster.NewCollector(cluster.FeatureSet(f.features))
	var given *cluster.Model
	if f.model != "" {
		var err error
		if given, err = cluster.OpenModel(f.model); err != nil {
			return nil, withCode(exitConfig, err)
		}
		if given.Schema.Set == cluster.ColumnFeatures {
			return nil, withCode(exitConfig, fmt.Errorf("%s: the model is of columns of numbers: use it with --csv",
				f.model))
		}
		collector = cluster.NewCollector(given.Schema.Set).WithHosts(given.Schema.Hosts)
	} else if cluster.FeatureSet(f.features) == cluster.HostFeatures {
		watched, err := hostsIn(paths, f.skipBad)
		if err != nil {
			return nil, withCode(exitConfig, err)
		}
		collector = collector.WithHosts(watched)
	}
	for _, path := range paths { // one at a time: windows do not reach across files
		w := cluster.NewWindower(f.window, func(in cluster.Interval) error {
			if err := collector.Add(&in.Sample); err != nil {
				return err
			}
			a.intervals = append(a.intervals, in)
			return nil
		})
		rejected, err := vts.Samples([]string{path}, f.skipBad, func(s vts.Sample) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return w.Add(s)
		})
		for reason, n := range rejected {
			if n > 0 && reason != vts.ReasonFirst { // the first poll of a file has none before it
				a.skipped.Polls[string(reason)] += n
			}
		}
		if err == nil {
			err = w.Flush()
		}
		switch {
		case errors.Is(err, context.Canceled):
			return nil, err
		case errors.Is(err, vts.ErrTruncated):
			return nil, withCode(exitConfig, fmt.Errorf("%w: with --skip-bad what can be read is used", err))
		case errors.Is(err, fs.ErrNotExist):
			return nil, withCode(exitConfig, fmt.Errorf("%w: want a file of trimtab collect or run", err))
		case err != nil && !strings.Contains(err.Error(), path):
			return nil, withCode(exitConfig, fmt.Errorf("%s: %w", path, err))
		case err != nil:
			return nil, withCode(exitConfig, err)
		}
		a.skipped.Windows += w.Dropped
	}
	name := strings.Join(paths, " ")
	if collector.Len() == 0 {
		return nil, withCode(exitConfig, fmt.Errorf("%s: no interval of %v in it; it takes two readings at least (%s)",
			name, f.window, a.skipped))
	}
	if err := a.fit(ctx, f, name, collector.Schema(), collector.Matrix(), nil, report); err != nil {
		return nil, err
	}
	var labels []string
	for _, r := range a.model.Regimes {
		labels = append(labels, r.Label)
	}
	var history []cluster.Step
	var total time.Duration
	for i := range a.intervals {
		in := &a.intervals[i]
		total += in.Sample.Interval
		history = append(history, cluster.Step{
			Regime: a.assigned[i].Regime, Action: cluster.Control(&in.Sample), Follows: in.Follows, Mixed: in.Mixed,
		})
	}
	a.transitions = cluster.CountTransitions(labels, history, total/time.Duration(len(history)))
	if f.schedule != "" {
		var err error
		if a.agreement, err = compareSchedule(f.schedule, a.intervals, a.assigned); err != nil {
			return nil, withCode(exitConfig, err)
		}
	}
	return a, nil
}

// hostsIn are the servers whose machines say something anywhere in the files: the first readings have none yet.
func hostsIn(paths []string, skipBad bool) ([]string, error) {
	var out []string
	_, err := vts.Samples(paths, skipBad, func(s vts.Sample) error {
		for _, h := range s.Hosts {
			if !slices.Contains(out, h.Server) {
				out = append(out, h.Server)
			}
		}
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("--features %s: no machine in what was recorded: record with trimtab collect --host",
			cluster.HostFeatures)
	}
	return out, err
}
