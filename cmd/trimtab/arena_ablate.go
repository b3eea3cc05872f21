package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/worlds"
	"trimtab/tuner/load"
	"trimtab/tuner/params"
)

// ablatePolicies are changed when --policy does not say which.
const ablatePolicies = "tuned,least_conn/tuned,least_time/tuned"

type ablateFlags struct {
	worldsFlags
	library bool
	only    []string
	set     []string
}

func newArenaAblate(e *env) *cobra.Command {
	var f ablateFlags
	f.world = "sim"
	cmd := &cobra.Command{
		Use:   "ablate [flags] [SCENARIO...]",
		Short: "Halve, double and switch off every parameter of the tuner, and say what that does",
		Long: `Play the tuner over generated worlds, or over the given scenarios, as it is and with each of its parameters
halved, doubled and off, with the same arrivals. For every change: p99, ART per request and reloads divided by what
they are without it, as geometric means over worlds with a 95 % interval by bootstrap over worlds, and the kind of
world (by fault, load, servers, start; or the library) in which p99 changes most. What may be chance there has a
question mark: 1 lies in the interval that is made wider for so many kinds being looked at. ART counts with 0.001
added and reloads with 1 added to both sides. The last line names the changes that cost less than 1 % and surely hurt
in no kind of world.

A parameter with "off" has a value at which its part of the tuner is not there: docs/lab/parameters.md.`,
		Example: `  trimtab arena ablate --worlds 8
  trimtab arena ablate --worlds 40 --first 1001 --only MinGain,Persistence --policy least_conn/tuned
  trimtab arena ablate --set MinGain=0.01 --set MinGain=0.1
  trimtab arena ablate --library --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.command = commandLine(cmd, args)
			return runAblate(cmd.Context(), e, &f, args)
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&f.worlds, "worlds", 8, "number of generated worlds")
	fl.Uint64Var(&f.first, "first", 1, "seed of the first world; the others count up from it")
	fl.BoolVar(&f.recurring, "recurring", false, "generate worlds of hours in which regimes of load return")
	fl.BoolVar(&f.library, "library", false, "play the built-in scenarios beside the worlds")
	fl.StringVar(&f.policies, "policy", ablatePolicies, "comma-separated list of tuned, tuned-eject, or METHOD/tuned")
	fl.StringSliceVar(&f.only, "only", nil, "comma-separated list of the parameters to change (default: all)")
	fl.StringArrayVar(&f.set, "set", nil, "NAME=VALUE to set a parameter to; may be repeated (default: halved, "+
		"doubled, off)")
	fl.IntVar(&f.seeds, "seeds", 1, "number of seeds in each world")
	fl.Uint64Var(&f.seed, "seed", 1, "first seed; the others count up from it")
	fl.StringVar(&f.actuator, "actuator", "reload", "how weights change: reload or live")
	fl.IntVar(&f.parallel, "parallel", 0, "blocks played at once (default: one per core)")
	fl.StringVar(&f.markdown, "markdown", "", "rewrite the table between the ablation's marks in this Markdown file")
	fl.StringVar(&f.rows, "rows", "", "file for one JSON object per finished cell")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per change and kind of world instead of the table")
	return cmd
}

// value is a value that a parameter is changed to.
type value struct {
	param params.Param
	to    string // as the table names it
	value float64
}

// values are those that the parameters are changed to.
func (f *ablateFlags) values() ([]value, error) {
	var out []value
	for _, text := range f.set {
		name, number, _ := strings.Cut(text, "=")
		d, err := params.Find(name)
		if err != nil {
			return nil, fmt.Errorf("--set %s: %w", text, err)
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return nil, fmt.Errorf("--set %s: want NAME=VALUE: %w", text, err)
		}
		out = append(out, value{d, fmt.Sprintf("%g", v), v})
	}
	if len(f.set) > 0 && len(f.only) == 0 {
		return out, nil
	}
	for _, name := range f.only {
		if _, err := params.Find(name); err != nil {
			return nil, fmt.Errorf("--only %s: %w", name, err)
		}
	}
	for _, d := range params.All() {
		if len(f.only) > 0 && !slices.Contains(f.only, d.Name) {
			continue
		}
		if h := d.Halved(); h != d.Default && !(d.HasOff && h == d.Off) {
			out = append(out, value{d, fmt.Sprintf("½: %g", h), h})
		}
		if v := d.Doubled(); v != d.Default && !(d.HasOff && v == d.Off) {
			out = append(out, value{d, fmt.Sprintf("×2: %g", v), v})
		}
		if d.HasOff {
			out = append(out, value{d, "off", d.Off})
		}
	}
	return out, nil
}

// vary returns the policies as they are and with every value, and the changes that compare them.
func vary(bases []arena.Policy, values []value) ([]arena.Policy, []arena.Change, error) {
	policies := slices.Clone(bases)
	var changes []arena.Change
	for _, v := range values {
		p, err := params.Default().With(v.param.Name, v.value)
		if err != nil {
			return nil, nil, err
		}
		change := arena.Change{Part: v.param.Name, To: v.to}
		for _, base := range bases {
			changed := base
			changed.Name = fmt.Sprintf("%s, %s %s", base.Name, v.param.Name, v.to)
			changed.New = tuned(&p, base.Chooser == chooserEject, load.RegimeConfig{})
			policies = append(policies, changed)
			change.Pairs = append(change.Pairs, arena.Pair{Changed: changed.Name, AsItIs: base.Name})
		}
		changes = append(changes, change)
	}
	return policies, changes, nil
}

// ablateResults collects what is played.
type ablateResults struct {
	worldsResults
	f       *ablateFlags
	worlds  []*deathstarbench.Scenario
	changes []arena.Change
}

func runAblate(ctx context.Context, e *env, f *ablateFlags, names []string) error {
	if err := wrong(bounded{"worlds", f.worlds, f.worlds >= 1 || f.worlds == 0 && f.library,
		"at least 1, or 0 with --library"}, bounded{"seeds", f.seeds, f.seeds >= 1, "at least 1"},
		bounded{"parallel", f.parallel, f.parallel >= 0, "at least 0"}); err != nil {
		return err
	}
	values, err := f.values()
	if err != nil {
		return withCode(exitUsage, err)
	}
	bases, err := arena.ParsePolicies(f.policies, tuners())
	if err != nil {
		return withCode(exitUsage, err)
	}
	policies, changes, err := vary(bases, values)
	if err != nil {
		return withCode(exitUsage, err)
	}
	r := &ablateResults{f: f, changes: changes}
	r.worldsResults = worldsResults{e: e, f: &f.worldsFlags, about: map[string]string{}}
	if r.worlds, err = r.scenarios(names); err != nil {
		return withCode(exitConfig, err)
	}
	if f.library {
		library, err := loadScenarios([]string{"all"})
		if err != nil {
			return withCode(exitConfig, err)
		}
		r.worlds = append(r.worlds, library...)
	}
	make, parallel, err := f.newWorld(e)
	if err != nil {
		return withCode(exitUsage, err)
	}
	if f.rows != "" {
		if r.file, err = os.Create(f.rows); err != nil {
			return withCode(exitConfig, err)
		}
	}
	var seeds []uint64
	for i := range f.seeds {
		seeds = append(seeds, f.seed+uint64(i))
	}
	r.progress = newArenaProgress(e, len(r.worlds)*len(policies)*len(seeds))
	return r.finish(ctx, arena.Play(ctx, arena.Config{
		Scenarios: r.worlds, Policies: policies, Seeds: seeds, NewWorld: make, Parallel: parallel,
		OnRow: r.add, OnFailure: r.fail,
	}))
}

// kinds are the kinds of every world that is played.
func (r *ablateResults) kinds() map[string][]string {
	out := map[string][]string{}
	builtIn := deathstarbench.Names()
	for _, sc := range r.worlds {
		out[sc.Name] = worlds.Kinds(r.about[sc.Name])
		if slices.Contains(builtIn, sc.Name) {
			out[sc.Name] = append(out[sc.Name], "library")
		}
	}
	return out
}

// finish reports what there is, complete or not.
func (r *ablateResults) finish(ctx context.Context, failed error) error {
	took := r.progress.end()
	errs := []error{failed}
	if r.file != nil {
		errs = append(errs, r.file.Close())
	}
	report := &arena.AblationReport{Effects: arena.Ablate(r.rows, r.failures, r.changes, r.kinds())}
	switch {
	case r.f.json:
		errs = append(errs, r.printJSON(report))
	case len(r.rows) > 0:
		errs = append(errs, r.e.text(report.WriteText))
	}
	if ctx.Err() != nil {
		err := fmt.Errorf("interrupted: %d of %d cells are complete", len(r.rows), r.progress.total)
		return withCode(exitInterrupted, err)
	}
	if r.f.markdown != "" && failed == nil {
		errs = append(errs, withCode(exitConfig, r.rewriteMarkdown(report, took)))
	}
	return errors.Join(append(errs, r.tellFailures())...)
}
