package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trimtab/deathstarbench"
	"trimtab/loadgen"
	"trimtab/loadgen/arrival"
	"trimtab/trusted"
)

// loadArrivals says when requests are due.
type loadArrivals struct {
	arrivals    []string
	cv          float64
	ranks       int
	alpha       float64
	rate        float64
	steps, ramp string
	sine        string
	drawn       string
	trace       string
	duration    time.Duration
	seed        uint64

	scheduleName, scheduleOut string
	total                     time.Duration
	rates, bursts, backOffs   string
}

func (a *loadArrivals) add(fl *pflag.FlagSet) {
	fl.StringSliceVar(&a.arrivals, "arrival", nil, "fixed, exp, norm or zipf (default exp); with --schedule random a list to draw from (default: all)")
	fl.Float64Var(&a.cv, "cv", 0, "norm: coefficient of variation of the gaps (default 0.3)")
	fl.IntVar(&a.ranks, "ranks", 0, "zipf: number of ranks (default 100)")
	fl.Float64Var(&a.alpha, "alpha", 0, "zipf: exponent (default 3)")
	fl.Var((*rateFlag)(&a.rate), "rate", "requests per second, or per time such as 50/1s")
	fl.StringVar(&a.steps, "steps", "", "rates that change at offsets, such as 0s=100,30s=800")
	fl.StringVar(&a.ramp, "ramp", "", "rates that are linear between offsets, such as 0s=100,60s=1000")
	fl.StringVar(&a.sine, "sine", "", "a rate that swings: mean,amplitude,period[,phase in radians], such as 500,300,60s")
	fl.StringVar(&a.drawn, "drawn", "", "rates that are drawn for every step, each as likely: values@step, such as 5,10,15,20@1m")
	fl.StringVar(&a.trace, "trace", "", "file of rates over time: lines of seconds and requests per second")
	fl.DurationVar(&a.duration, "duration", 0, "how long to send")
	fl.Uint64Var(&a.seed, "seed", 0, "seed of arrivals and requests (default: drawn, and reported)")
	fl.StringVar(&a.scheduleName, "schedule", "", "random, or a schedule file (TOML)")
	fl.StringVar(&a.scheduleOut, "schedule-out", "", "file that the drawn schedule is saved to (default: schedule-SEED.toml)")
	fl.DurationVar(&a.total, "total", 0, "length of the schedule (default: 5h for random, the file's own)")
	fl.StringVar(&a.rates, "random-rate", "100:2000", "random schedule: range of the rates, requests per second")
	fl.StringVar(&a.bursts, "random-duration", "30s:600s", "random schedule: range of the lengths of bursts")
	fl.StringVar(&a.backOffs, "random-back-off", "10s:100s", "random schedule: range of the pauses between bursts")
}

// useless refuses flags that have no effect on when requests are due.
func (a *loadArrivals) useless(cmd *cobra.Command) error {
	if a.scheduleName != "random" {
		if err := useless(cmd, "without --schedule random", "random-rate", "random-duration", "random-back-off"); err != nil {
			return err
		}
	}
	if a.scheduleName != "" {
		if a.scheduleName != "random" {
			return useless(cmd, "with a schedule file, which says it itself", "arrival", "cv", "ranks", "alpha", "seed", "workload")
		}
		return useless(cmd, "with --schedule random", "cv", "ranks", "alpha")
	}
	kind := arrival.Exp
	if len(a.arrivals) == 1 {
		kind = arrival.Kind(a.arrivals[0])
	}
	if kind != arrival.Norm {
		if err := useless(cmd, "without --arrival norm", "cv"); err != nil {
			return err
		}
	}
	if kind != arrival.Zipf {
		return useless(cmd, "without --arrival zipf", "ranks", "alpha")
	}
	return nil
}

// schedule returns the schedule that the flags describe: one burst, a drawn one, or a file's.
func (a *loadArrivals) schedule(what *loadTarget) (*loadgen.Schedule, error) {
	if a.scheduleName != "" && (a.rate != 0 || a.steps != "" || a.ramp != "" || a.sine != "" || a.drawn != "" || a.trace != "" || a.duration != 0) {
		return nil, withCode(exitUsage, errors.New("--schedule: says itself what --rate, --steps, --ramp, --sine and --duration would"))
	}
	if a.scheduleName != "" && what.targets != "" {
		return nil, withCode(exitUsage, errors.New("--targets: not with --schedule, which names workloads"))
	}
	if a.total < 0 || a.total > 0 && a.scheduleName == "" {
		return nil, withCode(exitUsage, fmt.Errorf("--total %s: want more than 0, together with --schedule", a.total))
	}
	if a.seed > math.MaxInt64 {
		return nil, withCode(exitUsage, fmt.Errorf("--seed %d: want at most 2^63−1", a.seed))
	}
	switch a.scheduleName {
	case "":
		s, err := a.single(what)
		return s, withCode(exitUsage, err)
	case "random":
		s, err := a.random(what)
		return s, withCode(exitUsage, err)
	}
	file, err := os.Open(a.scheduleName)
	if err != nil {
		return nil, withCode(exitConfig, fmt.Errorf("--schedule: want random, or a file as --schedule-out writes it: %w", err))
	}
	defer file.Close()
	s, err := loadgen.ReadSchedule(file)
	if err != nil {
		return nil, withCode(exitConfig, fmt.Errorf("%s: %w", a.scheduleName, err))
	}
	if a.total > 0 {
		s.Total = loadgen.Span(a.total)
	}
	return s, nil
}

// single is the schedule of one burst.
func (a *loadArrivals) single(what *loadTarget) (*loadgen.Schedule, error) {
	name, err := what.workload()
	if err != nil {
		return nil, err
	}
	if len(a.arrivals) > 1 {
		return nil, errors.New("--arrival: want one, or a list with --schedule random")
	}
	burst := loadgen.ScheduledBurst{
		Workload: name, Spec: arrival.Spec{Kind: arrival.Exp, CV: a.cv, Ranks: a.ranks, Alpha: a.alpha},
		Duration: loadgen.Span(a.duration), Seed: a.seed,
	}
	if len(a.arrivals) == 1 {
		burst.Kind = arrival.Kind(a.arrivals[0])
	}
	if _, err := burst.Gaps(0); err != nil {
		return nil, fmt.Errorf("--arrival: %w", err)
	}
	if a.duration <= 0 {
		return nil, errors.New("--duration is missing: want how long to send, such as 30s")
	}
	if burst.RateSpec, err = a.rateSpec(); err != nil {
		return nil, err
	}
	if _, err := burst.Build(); err != nil {
		return nil, err
	}
	return &loadgen.Schedule{Seed: a.seed, Bursts: []loadgen.ScheduledBurst{burst}}, nil
}

// rateSpec reads the rate over time.
func (a *loadArrivals) rateSpec() (spec loadgen.RateSpec, err error) {
	given := 0
	for _, is := range []bool{a.rate != 0, a.steps != "", a.ramp != "", a.sine != "", a.drawn != "", a.trace != ""} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return spec, errors.New("want exactly one of --rate above 0, --steps, --ramp, --sine, --drawn and --trace")
	case a.rate < 0:
		return spec, fmt.Errorf("--rate %g: want more than 0", a.rate)
	case a.steps != "":
		spec.Steps, err = ratePoints("--steps", a.steps)
	case a.ramp != "":
		spec.Ramp, err = ratePoints("--ramp", a.ramp)
	case a.sine != "":
		spec.Sine, err = sineSpec(a.sine)
	case a.drawn != "":
		spec.Steps, err = a.drawnPoints()
	case a.trace != "":
		var points []arrival.Point
		points, err = arrival.ReadTrace(a.trace)
		spec.Steps = asSteps(points)
	}
	spec.Rate = a.rate
	return spec, err
}

// drawnPoints are the steps of --drawn until the end of the load.
func (a *loadArrivals) drawnPoints() ([]loadgen.RatePoint, error) {
	list, step, ok := strings.Cut(a.drawn, "@")
	every, err := time.ParseDuration(step)
	if !ok || err != nil {
		return nil, fmt.Errorf("--drawn %s: want values@step, such as 5,10,15,20@1m", a.drawn)
	}
	var values []float64
	for _, text := range strings.Split(list, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			return nil, fmt.Errorf("--drawn %s: %q is no rate", a.drawn, text)
		}
		values = append(values, v)
	}
	points, err := arrival.Drawn(values, every, a.duration, a.seed)
	if err != nil {
		return nil, fmt.Errorf("--drawn %s: %w", a.drawn, err)
	}
	return asSteps(points), nil
}

func asSteps(points []arrival.Point) []loadgen.RatePoint {
	out := make([]loadgen.RatePoint, len(points))
	for i, p := range points {
		out[i] = loadgen.RatePoint{At: loadgen.Span(p.At), Rate: p.Rate}
	}
	return out
}

func ratePoints(flag, text string) (points []loadgen.RatePoint, err error) {
	for _, part := range strings.Split(text, ",") {
		at, rate, ok := strings.Cut(part, "=")
		offset, errAt := time.ParseDuration(strings.TrimSpace(at))
		perSecond, errRate := strconv.ParseFloat(strings.TrimSpace(rate), 64)
		if err := errors.Join(errAt, errRate); !ok || err != nil {
			return nil, fmt.Errorf("%s %q: want offset=rate, such as 30s=800", flag, part)
		}
		points = append(points, loadgen.RatePoint{At: loadgen.Span(offset), Rate: perSecond})
	}
	return points, nil
}

func sineSpec(text string) (*loadgen.SineSpec, error) {
	parts := strings.Split(text, ",")
	if len(parts) == 3 {
		parts = append(parts, "0")
	}
	fault := fmt.Errorf("--sine %q: want mean,amplitude,period[,phase], such as 500,300,60s", text)
	if len(parts) != 4 {
		return nil, fault
	}
	mean, err1 := strconv.ParseFloat(parts[0], 64)
	amplitude, err2 := strconv.ParseFloat(parts[1], 64)
	period, err3 := time.ParseDuration(parts[2])
	phase, err4 := strconv.ParseFloat(parts[3], 64)
	if errors.Join(err1, err2, err3, err4) != nil {
		return nil, fault
	}
	return &loadgen.SineSpec{Mean: mean, Amplitude: amplitude, Period: loadgen.Span(period), Phase: phase}, nil
}

// random draws the schedule.
func (a *loadArrivals) random(what *loadTarget) (*loadgen.Schedule, error) {
	r := loadgen.RandomSchedule{Workloads: what.workloadNames, Total: a.total, Seed: a.seed}
	if len(r.Workloads) == 0 {
		r.Workloads = deathstarbench.Workloads()
	}
	for _, kind := range a.arrivals {
		r.Arrivals = append(r.Arrivals, arrival.Kind(kind))
	}
	var err error
	number := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	if r.MinRate, r.MaxRate, err = parseRange("--random-rate", a.rates, number); err != nil {
		return nil, err
	}
	if r.MinBurst, r.MaxBurst, err = parseRange("--random-duration", a.bursts, time.ParseDuration); err != nil {
		return nil, err
	}
	if r.MinBackOff, r.MaxBackOff, err = parseRange("--random-back-off", a.backOffs, time.ParseDuration); err != nil {
		return nil, err
	}
	return r.Draw()
}

// parseRange reads low:high.
func parseRange[T any](flag, text string, parse func(string) (T, error)) (low, high T, err error) {
	from, to, ok := strings.Cut(text, ":")
	if !ok {
		to = from
	}
	low, errLow := parse(from)
	high, errHigh := parse(to)
	if errors.Join(errLow, errHigh) != nil {
		return low, high, fmt.Errorf("%s %q: want low:high", flag, text)
	}
	return low, high, nil
}

// publish prints a drawn schedule and saves it, so that the run can be repeated exactly.
func (a *loadArrivals) publish(e *env, schedule *loadgen.Schedule) error {
	if a.scheduleName != "random" && a.scheduleOut == "" {
		return nil
	}
	path := a.scheduleOut
	if path == "" {
		path = fmt.Sprintf("schedule-%d.toml", schedule.Seed)
	}
	var text bytes.Buffer
	if _, err := schedule.WriteTo(&text); err != nil {
		return err
	}
	if err := trusted.WriteFile(path, text.Bytes(), 0o644); err != nil {
		return withCode(exitConfig, fmt.Errorf("save schedule: %w", err))
	}
	for _, b := range schedule.Bursts {
		fmt.Fprintf(e.stderr, "schedule: %s %s %s at %g/s for %s, seed %d\n", b.Start, b.Workload, b.Kind, b.Rate, b.Duration, b.Seed)
	}
	fmt.Fprintf(e.stderr, "schedule saved to %s: --schedule %s repeats it\n", path, path)
	return nil
}
