package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trimtab/control"
	"trimtab/daemon"
	"trimtab/objective"
	"trimtab/pursuit"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
)

type planFlags struct {
	kind, state, out, method                       string
	interval                                       time.Duration
	bounds, knees, importance, promised, blocked   []string
	capacity, units, loads                         []string
	quantile, priceUnit, priceViolation, steepness float64
	fixed, json, noTradeOff, skipBad               bool
}

func newPlan(e *env) *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan --objective KIND [flags] [STATS...]",
		Short: "Say offline what an objective would give, with which controls, at which price",
		Long: `Observe stored statistics (stats.ndjson of trimtab collect, run or tune) as the daemon would, change nothing,
and say for every load that was seen what the objective would give beside the weights in force: carried load, delays,
how often the bounds would hold, which share would be refused, which capacity is used. With --state instead of
statistics it goes by what a daemon has learned and kept, for the loads given by --load.

What single upstreams want is given as NAME=VALUE, and NAME may be left out where there is one value for all.
Objectives: ` + strings.Join(objective.Kinds(), ", ") + `.

Exit codes: 0, 2 wrong usage, 3 files that cannot be read or used, 5 a bound that cannot be met at any load.`,
		Example: `  trimtab plan --objective throughput --bound search=35ms --bound report=110ms \
    --max-blocked 1 last-week.ndjson
  trimtab plan --objective cost --bound 300ms --capacity 10.0.0.1:8080=1:5 stats.ndjson --out plan.png
  trimtab plan --objective throughput --bound 35ms --state /var/lib/trimtab/tuner.db --load search=12 --load report=20`,
		RunE: func(cmd *cobra.Command, args []string) error { return runPlan(e, &f, args) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.kind, "objective", "", "objective (required)")
	fl.StringVar(&f.state, "state", "", "file of a daemon's state, tuner.db, in place of statistics")
	fl.StringArrayVar(&f.loads, "load", nil, "with --state: UPSTREAM=requests per second, repeat for each")
	fl.StringArrayVar(&f.bounds, "bound", nil, "[UPSTREAM=]longest delay of the slowest server; repeat for several")
	fl.StringArrayVar(&f.knees, "knee", nil, "[UPSTREAM=]delay at which a request is worth half (default: the bound)")
	fl.StringArrayVar(&f.importance, "importance", nil, "[UPSTREAM=]worth of a request (default 1)")
	fl.StringArrayVar(&f.promised, "promised", nil, "UPSTREAM=requests per second that are promised (guarantee)")
	fl.StringArrayVar(&f.blocked, "max-blocked", nil, "[UPSTREAM=]largest share that admission may refuse (default: "+
		"admission is off)")
	fl.StringArrayVar(&f.capacity, "capacity", nil, "SERVER=MIN:MAX units that scaling may give it (default: "+
		"scaling is off)")
	fl.StringArrayVar(&f.units, "units", nil, "SERVER=units that it had (default: MAX)")
	fl.StringVar(&f.method, "method", "round_robin", "balancing method: round_robin, least_conn or least_time")
	fl.Float64Var(&f.quantile, "quantile", 0, "quantile of the delay that bounds are about (default: the mean)")
	fl.Float64Var(&f.steepness, "steepness", 0, "how fast worth falls around the knee, per second of delay "+
		"(default 200)")
	fl.Float64Var(&f.priceUnit, "price-unit", 0, "cost: price of a unit per second (default 1)")
	fl.Float64Var(&f.priceViolation, "price-violation", 0, "cost: price of a broken bound per second (default 10)")
	fl.DurationVar(&f.interval, "interval", 5*time.Second, "length of the intervals that bounds are counted over")
	fl.BoolVar(&f.fixed, "fixed-weights", false, "weights are no control")
	fl.StringVar(&f.out, "out", "", "write the trade-off (bound against carried load against capacity) as a PNG")
	fl.BoolVar(&f.noTradeOff, "no-trade-off", false, "leave the trade-off out")
	fl.BoolVar(&f.skipBad, "skip-bad", false, "leave out statistics that cannot be read")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per line")
	return cmd
}

// values reads [NAME=]VALUE pairs: by name, "" for all.
func values[T any](flag string, list []string, parse func(string) (T, error)) (map[string]T, error) {
	out := map[string]T{}
	for _, text := range list {
		name, value := "", text
		if i := strings.LastIndexByte(text, '='); i >= 0 {
			name, value = text[:i], text[i+1:]
		}
		v, err := parse(value)
		if err != nil {
			return nil, fmt.Errorf("--%s %s: %w", flag, text, err)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("--%s %s: given twice", flag, text)
		}
		out[name] = v
	}
	return out, nil
}

// of is the value of a name, or that for all.
func of[T any](m map[string]T, name string, standard T) T {
	if v, ok := m[name]; ok {
		return v
	}
	if v, ok := m[""]; ok {
		return v
	}
	return standard
}

// named are the names of several lists.
func named(lists ...iter.Seq[string]) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, list := range lists {
			for name := range list {
				if !yield(name) {
					return
				}
			}
		}
	}
}

// checkServers reports a server whose capacity is a control and that is not there.
func checkServers(cfg *pursuit.Config, answers []pursuit.Answer) error {
	var servers []string
	for j := range answers[0].World.Servers {
		servers = append(servers, answers[0].World.Servers[j].Name)
	}
	for name := range named(maps.Keys(cfg.Scaling), maps.Keys(cfg.Units)) {
		if !slices.Contains(servers, name) {
			return withCode(exitUsage, fmt.Errorf("server %q: the statistics have %s", name, strings.Join(servers, ", ")))
		}
	}
	return nil
}

func decimal(text string) (float64, error) { return strconv.ParseFloat(text, 64) }

// config makes the configuration of a policy for upstreams and servers of the names given.
func (f *planFlags) config(upstreams []string) (cfg pursuit.Config, spec objective.Spec, err error) {
	bounds, err1 := values("bound", f.bounds, time.ParseDuration)
	knees, err2 := values("knee", f.knees, time.ParseDuration)
	importance, err3 := values("importance", f.importance, decimal)
	promised, err4 := values("promised", f.promised, decimal)
	blocked, err5 := values("max-blocked", f.blocked, decimal)
	units, err6 := values("units", f.units, strconv.Atoi)
	ranges, err7 := values("capacity", f.capacity, func(text string) (l control.ScalingLimits, err error) {
		low, high, ok := strings.Cut(text, ":")
		if !ok {
			return l, errors.New("want MIN:MAX")
		}
		var fault error
		l.Min, err = strconv.Atoi(low)
		l.Max, fault = strconv.Atoi(high)
		return l, errors.Join(err, fault)
	})
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return cfg, spec, err
	}
	for name := range named(maps.Keys(bounds), maps.Keys(knees), maps.Keys(importance), maps.Keys(promised),
		maps.Keys(blocked)) {
		if name != "" && !slices.Contains(upstreams, name) {
			return cfg, spec, fmt.Errorf("upstream %q: the statistics have %s", name, strings.Join(upstreams, ", "))
		}
	}
	spec = objective.Spec{Kind: f.kind, Steepness: f.steepness, PriceUnit: f.priceUnit,
		PriceViolation: f.priceViolation, Upstreams: map[string]objective.Terms{}}
	cfg = pursuit.Config{Admission: map[string]control.AdmissionLimits{}, Scaling: ranges, Units: units,
		FixedWeights: f.fixed, Search: pursuit.Options{Interval: f.interval},
		Tuner: tuner.Config{Method: tuner.Method(f.method), Unlimited: true,
			Regimes: load.RegimeConfig{Observe: -1}}}
	for _, name := range upstreams {
		spec.Upstreams[name] = objective.Terms{Bound: of(bounds, name, 0), Knee: of(knees, name, 0),
			Quantile: f.quantile, Importance: of(importance, name, 1),
			Promised: of(promised, name, 0), Deadline: of(bounds, name, 0)}
		if most := of(blocked, name, 0); most != 0 {
			cfg.Admission[name] = control.AdmissionLimits{Most: most}
		}
	}
	cfg.Objective, err = objective.New(spec)
	if err == nil {
		err = cfg.Validate()
	}
	return cfg, spec, err
}

func runPlan(e *env, f *planFlags, files []string) error {
	switch {
	case !slices.Contains(objective.Kinds(), f.kind):
		return withCode(exitUsage, fmt.Errorf("--objective %q: want one of %s", f.kind,
			strings.Join(objective.Kinds(), ", ")))
	case (f.state == "") == (len(files) == 0):
		return withCode(exitUsage, errors.New("want statistics, or --state with --load"))
	case f.interval <= 0:
		return withCode(exitUsage, fmt.Errorf("--interval %s: want more than 0", f.interval))
	case f.state != "" && len(f.loads) == 0:
		return withCode(exitUsage, errors.New("--state: want --load UPSTREAM=requests per second for each upstream"))
	}
	answers, spec, err := f.answers(files)
	if err != nil {
		return err
	}
	var points []pursuit.Point
	if !f.noTradeOff {
		busiest := slices.MaxFunc(answers, func(a, b pursuit.Answer) int { return int(1e6 * (rateOf(a) - rateOf(b))) })
		if points, err = pursuit.TradeOff(busiest.World, spec, boundFactors(),
			pursuit.Options{Interval: f.interval}); err != nil {
			return withCode(exitConfig, err)
		}
	}
	if f.out != "" {
		if err := plotTradeOff(f.out, spec, points); err != nil {
			return withCode(exitConfig, err)
		}
	}
	if f.json {
		for _, a := range answers {
			if err := printJSON(e.stdout, planRow(a)); err != nil {
				return err
			}
		}
		for _, p := range points {
			if err := printJSON(e.stdout, tradeOffJSON{Kind: "trade_off", Factor: p.Factor, Units: p.Units,
				Offered: p.Offered, Carried: p.Carried, Capacity: p.Capacity, Reward: p.Reward, Held: p.Held}); err != nil {
				return err
			}
		}
	} else if err := e.text(func(w io.Writer) error { return planTable(w, f, answers, points) }); err != nil {
		return err
	}
	if why := pursuit.BeyondReach(&answers[0].World, spec.Upstreams); why != "" {
		return withCode(exitRefused, errors.New(why))
	}
	return nil
}

// boundFactors are the bounds that a trade-off is worked out for, in units of those asked for.
func boundFactors() []float64 { return []float64{0.9, 1, 1.1, 1.25, 1.5, 2, 3} }

func rateOf(a pursuit.Answer) float64 {
	sum := 0.0
	for k := range a.World.Services {
		sum += a.World.Services[k].OfferedPerSec
	}
	return sum
}

// answers asks the statistics, or what a daemon has kept.
func (f *planFlags) answers(files []string) ([]pursuit.Answer, objective.Spec, error) {
	if f.state != "" {
		offered, err := values("load", f.loads, decimal)
		if err != nil {
			return nil, objective.Spec{}, withCode(exitUsage, err)
		}
		cfg, spec, err := f.config(slices.Sorted(maps.Keys(offered)))
		if err != nil {
			return nil, spec, withCode(exitUsage, err)
		}
		st, err := daemon.NewStore(f.state, nil).Read()
		if err != nil {
			return nil, spec, withCode(exitConfig, fmt.Errorf("--state: %w", err))
		}
		snapshot, err := st.Learned()
		if err != nil {
			return nil, spec, withCode(exitConfig, fmt.Errorf("--state %s: %w", f.state, err))
		}
		answers, err := pursuit.FromSnapshot(cfg, snapshot, offered)
		if err != nil {
			return nil, spec, withCode(exitConfig, err)
		}
		return answers, spec, checkServers(&cfg, answers)
	}
	names, err := recordedUpstreams(files, f.skipBad)
	if err != nil {
		return nil, objective.Spec{}, withCode(exitConfig, err)
	}
	cfg, spec, err := f.config(names)
	if err != nil {
		return nil, spec, withCode(exitUsage, err)
	}
	study, err := pursuit.NewStudy(cfg)
	if err != nil {
		return nil, spec, withCode(exitUsage, err)
	}
	if _, err := vts.Samples(files, f.skipBad, func(s vts.Sample) error { study.Add(s); return nil }); err != nil {
		return nil, spec, withCode(exitConfig, err)
	}
	answers, err := study.Answers()
	if err != nil {
		return nil, spec, withCode(exitConfig, err)
	}
	return answers, spec, checkServers(&cfg, answers)
}

// recordedUpstreams are the upstreams that the first sample of statistics names.
func recordedUpstreams(files []string, skipBad bool) ([]string, error) {
	var names []string
	found := errors.New("found")
	_, err := vts.Samples(files, skipBad, func(s vts.Sample) error {
		for _, g := range s.Groups {
			names = append(names, g.Name)
		}
		return found
	})
	switch {
	case err != nil && !errors.Is(err, found):
		return nil, fmt.Errorf("%w: want a file of trimtab collect or run", err)
	case len(names) == 0:
		return nil, fmt.Errorf("%s: no upstream in the statistics", strings.Join(files, ", "))
	}
	return names, nil
}

func planTable(out io.Writer, f *planFlags, answers []pursuit.Answer, points []pursuit.Point) error {
	fmt.Fprintf(out, "Objective %s in intervals of %s, %d loads; \"now\" is what was in force, with everybody "+
		"let in.\n\n", f.kind, f.interval, len(answers))
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "time\tupstream\toffered/s\tcarried/s\tnow\tdelay "+
		"ms\tnow\theld\tnow\trefused\tweights\tunits\treward\tnow\t")
	reward, now, units := 0.0, 0.0, 0.0
	for _, a := range answers {
		reward += a.Share * a.Best.Value.Reward
		now += a.Share * a.Now.Reward
		units += a.Share * a.Best.Value.Mean.Capacity
		for k := range a.World.Services {
			best, was := a.Best.Value.Mean.Services[k], a.Now.Mean.Services[k]
			share, worth, before, capacity := "", "", "", ""
			if k == 0 {
				share, worth, before = fmt.Sprintf("%.0f %%", 100*a.Share), fmt.Sprintf("%.2f", a.Best.Value.Reward),
					fmt.Sprintf("%.2f", a.Now.Reward)
				if n := a.Best.Value.Mean.Capacity; n > 0 {
					capacity = fmt.Sprintf("%.0f", n)
				}
			}
			fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f %%\t%.0f %%\t%.0f %%\t%s\t%s\t%s\t%s\t\n", share,
				a.World.Services[k].Name,
				a.World.Services[k].OfferedPerSec, best.CarriedPerSec, was.CarriedPerSec, best.DelaySec*1e3,
				was.DelaySec*1e3, 100*a.Best.Value.Held[k],
				100*a.Now.Held[k], 100*a.Best.Setting.Blocked[k], ratio(a.Best.Setting.Weights[k]), capacity, worth,
				before)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nOver the time: reward %.3f per s, %.3f now", reward, now)
	if units > 0 {
		fmt.Fprintf(out, "; %.2f units on average", units)
	}
	fmt.Fprintln(out, ".")
	if len(points) == 0 {
		return nil
	}
	fmt.Fprintln(out, "\nTrade-off at the busiest load: bounds times a factor, the best setting for each.")
	t = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "units\tbounds\toffered/s\tcarried/s\tunits used\theld at least\treward\t")
	for _, p := range points {
		n := "free"
		if p.Units > 0 {
			n = strconv.Itoa(p.Units)
		}
		fmt.Fprintf(t, "%s\t× %.2g\t%.1f\t%.1f\t%.0f\t%.0f %%\t%.2f\t\n", n, p.Factor, p.Offered, p.Carried, p.Capacity,
			100*p.Held, p.Reward)
	}
	return t.Flush()
}

// ratio writes weights as 3:2.
func ratio(w []int) string {
	text := make([]string, len(w))
	for i, n := range w {
		text[i] = strconv.Itoa(n)
	}
	return strings.Join(text, ":")
}

// plotTradeOff draws the carried load over the bounds, a line for each capacity.
func plotTradeOff(path string, spec objective.Spec, points []pursuit.Point) error {
	if len(points) == 0 {
		return errors.New("--out: there is no trade-off to draw")
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the plot: %w", err)
	}
	return errors.Join(drawTradeOff(f, spec, points), f.Close())
}
