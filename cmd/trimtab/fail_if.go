package main

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"trimtab/loadgen"
)

// limit is one --fail-if: a value that must not be beyond another one.
type limit struct {
	text, name, op string
	value          float64 // ms, or a share for what is written in %
}

type limits []limit

var limitForm = regexp.MustCompile(`^\s*([a-z0-9_.]+)\s*(>=|<=|>|<)\s*([+-]?[0-9.]+)\s*(ms|s|us|µs|%|/s)?\s*$`)

// parseLimits reads "p99>200ms", "errors>0.1%", "rate<500/s".
func parseLimits(texts []string) (limits, error) {
	var out limits
	for _, text := range texts {
		m := limitForm.FindStringSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("--fail-if %q: want NAME>VALUE, such as 'p99>200ms' or 'errors>0.1%%'", text)
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, fmt.Errorf("--fail-if %q: %q is no number", text, m[3])
		}
		switch m[4] {
		case "s":
			v *= 1000
		case "us", "µs":
			v /= 1000
		case "%":
			v /= 100
		}
		out = append(out, limit{text: text, name: m[1], op: m[2], value: v})
	}
	return out, nil
}

// known reports which of the limits name something that is not measured.
func (l limits) known(names ...string) error {
	for _, x := range l {
		if !slices.Contains(names, x.name) {
			return fmt.Errorf("--fail-if %q: %s is not measured here: want one of %s", x.text, x.name,
				strings.Join(names, ", "))
		}
	}
	return nil
}

// check returns the error with code 8 when a limit is crossed. A value that is missing crosses it: what was not
// measured is not good.
func (l limits) check(values map[string]float64) error {
	var crossed []string
	for _, x := range l {
		v, ok := values[x.name]
		switch {
		case !ok || math.IsNaN(v):
			crossed = append(crossed, fmt.Sprintf("%s: %s was not measured (there is %s)", x.text, x.name,
				strings.Join(slices.Sorted(maps.Keys(values)), ", ")))
		case x.op == ">" && v > x.value, x.op == ">=" && v >= x.value, x.op == "<" && v < x.value, x.op == "<=" &&
			v <= x.value:
			crossed = append(crossed, fmt.Sprintf("%s: it is %s", x.text, x.write(v)))
		}
	}
	if crossed == nil {
		return nil
	}
	return withCode(exitLimit, fmt.Errorf("limit crossed: %s", strings.Join(crossed, "; ")))
}

// write writes a value in the unit that the limit was given in.
func (x limit) write(v float64) string {
	switch {
	case strings.HasSuffix(strings.TrimSpace(x.text), "%"):
		return fmt.Sprintf("%.3g %%", 100*v)
	case strings.Contains(x.text, "/s"):
		return fmt.Sprintf("%.4g/s", v)
	case strings.HasSuffix(strings.TrimSpace(x.text), "s"):
		return fmt.Sprintf("%.4g ms", v)
	}
	return fmt.Sprintf("%.4g", v)
}

// loadNames are what loadValues knows.
func loadNames() []string {
	return []string{"p50", "p90", "p99", "p999", "max", "mean", "errors", "dropped", "rate", "lateness"}
}

// loadValues are the figures of a load as --fail-if names them: times in ms, errors and dropped as shares of what was
// due.
func loadValues(t *loadgen.Tally) map[string]float64 {
	l := t.Latency
	v := map[string]float64{"errors": partOf(t.Errors, t.Requests), "dropped": partOf(t.Dropped,
		t.Requests+t.Dropped), "rate": t.RatePerS}
	if t.Requests > 0 { // without requests there are no times
		maps.Copy(v, map[string]float64{"p50": l.P50, "p90": l.P90, "p99": l.P99, "p999": l.P999, "max": l.Max,
			"mean": l.Mean, "lateness": t.Lateness.P99})
	} else {
		delete(v, "errors")
	}
	return v
}
