package main

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trimtab/loadgen"
	"trimtab/page"
	"trimtab/plain"
	"trimtab/prove"
)

// calledAs is how a command was called, for reports. Values of flags that may hold secrets are left out.
func calledAs(cmd *cobra.Command, args []string) string {
	parts := []string{cmd.CommandPath()}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch {
		case f.Name == "header" || strings.Contains(f.Name, "token") || strings.Contains(f.Name, "password"):
			parts = append(parts, "--"+f.Name+" …")
		case f.Value.Type() == "bool" && f.Value.String() == "true":
			parts = append(parts, "--"+f.Name)
		default:
			values := []string{f.Value.String()}
			if list, ok := f.Value.(pflag.SliceValue); ok {
				values = list.GetSlice()
			}
			for _, v := range values {
				parts = append(parts, "--"+f.Name+" "+quoted(v))
			}
		}
	})
	for _, a := range args {
		parts = append(parts, quoted(a))
	}
	return strings.Join(parts, " ")
}

func quoted(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\n'\"$&|;<>()*?[]#~`\\") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func hostname() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return host
}

// facts are the pairs whose value is known.
func facts(pairs ...string) [][2]string {
	var out [][2]string
	for i := 0; i+1 < len(pairs); i += 2 {
		if v := strings.TrimSpace(pairs[i+1]); v != "" && v != "0" {
			out = append(out, [2]string{pairs[i], plain.Text(v)})
		}
	}
	return out
}

func pointers(in []float64) []*float64 {
	out := make([]*float64, len(in))
	for i := range in {
		out[i] = &in[i]
	}
	return out
}

// errorShares are the shares of failed requests over the course of a load.
func errorShares(s loadgen.Series) []*float64 {
	out := make([]*float64, len(s.AtS))
	last := 0.0
	for i := range s.AtS {
		if n := s.RatePerS[i] * (s.AtS[i] - last); n > 0 {
			share := min(1, float64(s.Errors[i])/n)
			out[i] = &share
		}
		last = s.AtS[i]
	}
	return out
}

// loadPage is the report of a load as a page.
func loadPage(r *loadgen.Report) page.Report {
	p := page.Report{
		Title: "Load on " + plain.Text(orElse(r.Target, "an unknown target")),
		Headline: fmt.Sprintf("p99 %.1f ms, p50 %.1f ms, %.2f %% errors at %.1f requests/s", r.Latency.P99,
			r.Latency.P50, 100*partOf(r.Errors, r.Requests), r.RatePerS),
		Warning: r.Warning(),
		Facts: facts("Target", r.Target, "Server", r.Server, "From", r.Host, "Trimtab", r.Version, "Command", r.Command,
			"Arrivals", r.Arrival,
			"Seed", fmt.Sprint(r.Seed), "Started", r.Started.Format("2006-01-02 15:04:05 MST"), "Length",
			fmt.Sprintf("%.1f s of %.1f s planned", r.DurationS, r.PlannedS)),
		Notes: []string{"Latency counts from the moment a request was due, raw latency from the moment it was sent; " +
			"lateness is the difference."},
	}
	if r.Interrupted {
		p.Headline = "Interrupted: " + p.Headline
	}
	counts := page.Table{Caption: "Requests", Head: []string{"Workload", "Requests", "Rate", "Errors", "Dropped"}}
	times := page.Table{Caption: "Times (ms)", Head: []string{"", "Mean", "p50", "p90", "p99", "p99.9", "Max"}}
	row := func(name string, t *loadgen.Tally) {
		counts.Rows = append(counts.Rows, []string{plain.Text(name), fmt.Sprint(t.Requests),
			fmt.Sprintf("%.1f/s", t.RatePerS), fmt.Sprint(t.Errors), fmt.Sprint(t.Dropped)})
		for _, x := range []struct {
			of string
			loadgen.Summary
		}{{"latency", t.Latency}, {"raw", t.Raw}, {"lateness", t.Lateness}} {
			times.Rows = append(times.Rows, []string{plain.Text(name) + ", " + x.of, ms3(x.Mean), ms3(x.P50),
				ms3(x.P90), ms3(x.P99), ms3(x.P999), ms3(x.Max)})
		}
	}
	arrivals := page.Table{Caption: "Arrivals: gaps between requests as sent, against the law that was asked for",
		Head: []string{"Burst", "Gaps"}}
	asked := page.Chart{Title: "Rate asked", XName: "s since the start", Unit: "/s"}
	for i := range r.Workloads {
		w := &r.Workloads[i]
		row(w.Name, &w.Tally)
		for j := range w.Bursts {
			b := &w.Bursts[j]
			arrivals.Rows = append(arrivals.Rows, []string{plain.Text(w.Name) + ": " + b.Describe(),
				b.Interarrival.Verdict()})
			if len(r.Workloads) == 1 && len(w.Bursts) == 1 {
				line := page.Line{Name: b.RateLaw}
				for _, point := range b.Curve {
					asked.X, line.Values = append(asked.X, point.AtS), append(line.Values, &point.RatePerS)
				}
				if len(b.Curve) == 1 {
					asked.X, line.Values = append(asked.X, b.DurationS), append(line.Values, line.Values[0])
				}
				asked.Lines = []page.Line{line}
			}
		}
	}
	if len(r.Workloads) > 1 {
		row("total", &r.Tally)
	}
	p.Tables = append(p.Tables, counts, times)
	if len(r.ErrorKinds) > 0 {
		failures := page.Table{Caption: "Failures", Head: []string{"Kind", "Requests", "For example"}}
		for _, kind := range sortedNames(r.ErrorKinds) {
			failures.Rows = append(failures.Rows, []string{kind, fmt.Sprint(r.ErrorKinds[kind]),
				plain.Text(r.ErrorSample[kind])})
		}
		p.Tables = append(p.Tables, failures)
	}
	p.Tables = append(p.Tables, arrivals)
	s := r.Series
	p.Charts = []page.Chart{
		{Title: "Latency", XName: "s since the start", Unit: "ms", Log: true, X: s.AtS,
			Lines: []page.Line{{Name: "p50", Values: pointers(s.P50MS)}, {Name: "p99", Values: pointers(s.P99MS)}}},
		{Title: "Requests", XName: "s since the start", Unit: "/s", X: s.AtS,
			Lines: []page.Line{{Name: "finished", Values: pointers(s.RatePerS)}}},
		{Title: "Failed requests", XName: "s since the start", Unit: "%", X: s.AtS,
			Lines: []page.Line{{Name: "failed", Values: errorShares(s)}}},
	}
	if len(asked.Lines) > 0 {
		p.Charts = append(p.Charts, asked)
	}
	if r.Timeline.Latency != nil {
		c := page.Chart{Title: "Latency by percentile", XName: "nines", Unit: "ms", Log: true,
			Lines: []page.Line{{Name: "latency"}, {Name: "raw"}}}
		for _, q := range []float64{0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999} {
			c.X = append(c.X, nines(q))
			for i, h := range []*loadgen.Latencies{r.Timeline.Latency, r.Timeline.Raw} {
				v := loadgen.Milliseconds(h.Quantile(q))
				c.Lines[i].Values = append(c.Lines[i].Values, &v)
			}
		}
		p.Charts = append(p.Charts, c)
	}
	return p
}

func ms3(v float64) string { return fmt.Sprintf("%.3f", v) }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func partOf(part, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return float64(part) / float64(of)
}

// proofPage is the result of an experiment as a page.
func proofPage(r prove.Result) page.Report {
	p := page.Report{
		Title: "Experiment " + plain.Text(r.ID), Headline: r.Headline(),
		Facts: facts("Host", r.Host, "Target", r.Target, "NGINX", r.NGINX, "Trimtab", r.Version, "Seed",
			fmt.Sprint(r.Seed), "Began", r.Began.Format(time.RFC3339),
			"State", r.Progress(), "Blocks", fmt.Sprintf("%v after %v of wash-out, at most %v", r.Plan.Block,
				max(0, r.Plan.WashOut), r.Plan.Duration),
			"Decides", fmt.Sprintf("%s, error rate %.0f %% over all looks, margin %.0f %%", r.Plan.Measure.Name(),
				100*r.Plan.Alpha, 100*max(0, r.Plan.Margin))),
	}
	if r.Watched {
		p.Title = "What was recorded in " + plain.Text(r.Target)
		p.Warning = "Weights changed here as somebody saw fit, and not at random: a difference may be one of the load."
	}
	table := func(caption string, effects []prove.Effect) {
		t := page.Table{Caption: caption, Head: []string{"", "Operator's weights", "Tuned", "Change", "Interval"}}
		for _, e := range effects {
			name := e.Measure.Name()
			if e.Upstream != "" {
				name = plain.Text(e.Upstream)
			}
			t.Rows = append(t.Rows, []string{name, e.Measure.Value(e.Operator), e.Measure.Value(e.Tuned), e.Words(),
				e.Interval(r.Plan.Alpha)})
		}
		if len(t.Rows) > 0 {
			p.Tables = append(p.Tables, t)
		}
	}
	table("Effects", r.Effects)
	if len(r.PerGroup) > 1 {
		table(r.Decides.Measure.Name()+" by upstream", r.PerGroup)
	}
	table("With the operator's weights of before", r.Earlier)
	if w := r.Power.Words(r.Decides); w != "" {
		p.Notes = append(p.Notes, strings.ToUpper(w[:1])+w[1:]+".")
	}
	raw := page.Table{Caption: "Blocks", Head: []string{"From", "Weights", "Measured", "Requests", "p99", "Mean",
		"Errors"}}
	c := page.Chart{Title: "p99 of the blocks", XName: "time", Unit: "ms", Log: true,
		Lines: []page.Line{{Name: "operator's weights"}, {Name: "tuned"}}}
	each := func(b *prove.Block) {
		if b == nil {
			return
		}
		p99 := b.Value(prove.P99, "", nil)
		raw.Rows = append(raw.Rows, []string{b.From.Format("15:04:05"), string(b.Arm), fmt.Sprintf("%.0f s", b.Seconds),
			fmt.Sprint(b.All.Requests),
			prove.P99.Value(p99), prove.Mean.Value(b.All.MeanMS()), prove.Errors.Value(b.All.ErrorShare())})
		c.X = append(c.X, float64(b.From.Unix()))
		for i, arm := range []prove.Arm{prove.Operator, prove.Tuned} {
			var v *float64
			if b.Arm == arm && p99 > 0 {
				v = &p99
			}
			c.Lines[i].Values = append(c.Lines[i].Values, v)
		}
	}
	for i := range r.Stages {
		for j := range r.Stages[i].Pairs {
			each(&r.Stages[i].Pairs[j].First)
			each(r.Stages[i].Pairs[j].Second)
		}
	}
	if len(raw.Rows) > 0 {
		p.Tables, p.Charts = append(p.Tables, raw), append(p.Charts, c)
	}
	for _, st := range r.Stages {
		for _, v := range st.Voids {
			p.Notes = append(p.Notes, fmt.Sprintf("%s: a block on the %s weights does not count: %s.",
				v.At.Format("15:04:05"), v.Arm, plain.Text(v.Reason)))
		}
	}
	return p
}

// nines is how many nines a percentile has: 0.9 has one, 0.99 two.
func nines(q float64) float64 { return -math.Log10(1 - q) }

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
