package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/rival"
)

// report prints and writes the tables.
func (f *leaderFlags) report(e *env, scenarios []*deathstarbench.Scenario, policies []arena.Policy, models arena.Models,
	leaders []arena.Leader) error {
	took := time.Since(f.began)
	trained := func(name string) float64 {
		i := slices.IndexFunc(policies, func(p arena.Policy) bool { return p.Name == name })
		sum, n := 0.0, 0
		for _, sc := range scenarios {
			path := models.Path(policies[i].Chooser, sc.Name, policies[i].Method)
			if m, err := rival.OpenModel(path, policies[i].Chooser); err == nil {
				sum, n = sum+m.Trained.Seconds, n+1
			}
		}
		if n == 0 {
			return -1
		}
		return sum / float64(n)
	}
	var worlds []string
	for _, sc := range scenarios {
		worlds = append(worlds, sc.Name)
	}
	var rows, byWorld [][]string
	for i := range leaders {
		if f.json {
			if err := printJSON(e.stdout, leaders[i]); err != nil {
				return err
			}
		}
		rows = append(rows, leaders[i].Columns(trained(leaders[i].Policy)))
		byWorld = append(byWorld, leaders[i].WorldColumns(worlds))
	}
	heads, worldHeads := arena.LeaderHeads(f.floor, f.reference), append([]string{"p99, ms"}, worlds...)
	if !f.json {
		if err := errors.Join(printTable(e.stdout, heads, rows), printTable(e.stdout, worldHeads, byWorld)); err != nil {
			return err
		}
	}
	if f.markdown == "" {
		return nil
	}
	text := fmt.Sprintf("`%s`: %d policies on %d worlds with %d seeds, %d trainings of at most %d steps; %s on %d cores%s",
		f.command, len(policies), len(worlds), f.seeds, f.trained, f.steps, took.Round(time.Second),
		runtime.GOMAXPROCS(0), processorTime())
	if f.replayed > 0 {
		text += fmt.Sprintf(", for what an earlier run had not finished (%d cells were there)", f.replayed)
	}
	text = arena.MarkdownProse(fmt.Sprintf("%s, on %s (trimtab %s).", text, time.Now().UTC().Format(time.DateOnly),
		version)) + "\n\n" + arena.MarkdownTable(heads, rows) + "\n" + arena.MarkdownTable(worldHeads, byWorld)
	if err := arena.RewriteMarkdown(f.markdown, "leaderboard", []byte(text)); err != nil {
		return withCode(exitConfig, err)
	}
	return nil
}

// processorTime says what this process used of the processors: on a machine that others use too it is less than the
// time that passed, and what another machine needs.
func processorTime() string {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return ""
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return fmt.Sprintf(", %s of processor time", used.Round(time.Second))
}

// printTable prints rows of figures under their heads, aligned to the right.
func printTable(w io.Writer, heads []string, rows [][]string) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tab, "%s\t\n", strings.Join(heads, "\t"))
	for _, r := range rows {
		fmt.Fprintf(tab, "%s\t\n", strings.Join(r, "\t"))
	}
	return tab.Flush()
}
