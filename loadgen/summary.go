package loadgen

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"trimtab/plain"
)

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	if r.Interrupted {
		fmt.Fprintf(&b, "INTERRUPTED after %s of %s\n", seconds(r.DurationS), seconds(r.PlannedS))
	}
	if warning := r.Warning(); warning != "" {
		fmt.Fprintf(&b, "%s\n", warning)
	}
	of := strings.TrimSpace(r.Target + " " + r.Server)
	if of != "" {
		fmt.Fprintf(&b, "%s, from %s, trimtab %s\n", plain.Text(of), plain.Text(r.Host), r.Version)
	}
	// Two tables, so that both fit into 80 columns.
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	rows := make([]struct {
		name string
		*Tally
	}, 0, len(r.Workloads)+1)
	for i := range r.Workloads {
		rows = append(rows, struct {
			name string
			*Tally
		}{r.Workloads[i].Name, &r.Workloads[i].Tally})
	}
	if len(r.Workloads) > 1 {
		rows = append(rows, struct {
			name string
			*Tally
		}{"total", &r.Tally})
	}
	fmt.Fprintln(t, "workload\trequests\trate/s\terrors\tdropped\t")
	for _, row := range rows {
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%d\t%d\t\n", row.name, row.Requests, row.RatePerS, row.Errors, row.Dropped)
	}
	fmt.Fprintln(t, "\t\t\t\t\t")
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "ms\tmean\tp50\tp90\tp99\tp99.9\tmax\t")
	for _, row := range rows {
		for _, line := range []struct {
			of      string
			summary Summary
		}{{row.name + " latency", row.Latency}, {"raw", row.Raw}, {"lateness", row.Lateness}} {
			fmt.Fprintf(t, "%s\t", line.of)
			for _, v := range []float64{line.summary.Mean, line.summary.P50, line.summary.P90, line.summary.P99, line.summary.P999, line.summary.Max} {
				fmt.Fprintf(t, "%s\t", figure(v))
			}
			fmt.Fprintln(t)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, kind := range slices.Sorted(maps.Keys(r.ErrorKinds)) {
		fmt.Fprintf(&b, "%d × %s, such as: %s\n", r.ErrorKinds[kind], kind, r.ErrorSample[kind])
	}
	for i := range r.Workloads {
		for j := range r.Workloads[i].Bursts {
			burst := &r.Workloads[i].Bursts[j]
			fmt.Fprintf(&b, "%s %s: %s\n", r.Workloads[i].Name, burst.Describe(), burst.Interarrival.Verdict())
		}
	}
	fmt.Fprintf(&b, "seed %d\n", r.Seed)
	_, err := w.Write(b.Bytes())
	return err
}

// figure writes ms with as many decimals as tell something.
func figure(ms float64) string {
	if ms >= 10_000 {
		return fmt.Sprintf("%.0f", ms)
	}
	return fmt.Sprintf("%.3f", ms)
}

// Warning says why the run is not valid as open loop, or nothing.
func (r *Report) Warning() string {
	if !r.Saturated {
		return ""
	}
	var why []string
	for i := range r.Workloads {
		w := &r.Workloads[i]
		if w.Lateness.P99 > r.BoundMS {
			why = append(why, fmt.Sprintf("%s: lateness p99 %.1f ms is beyond the bound of %g ms", w.Name, w.Lateness.P99, r.BoundMS))
		}
		if w.Dropped > 0 {
			why = append(why, fmt.Sprintf("%s: %d requests were due but never sent", w.Name, w.Dropped))
		}
		if w.Capped > 0 {
			why = append(why, fmt.Sprintf("%s: %d requests found all workers busy", w.Name, w.Capped))
		}
	}
	return "SATURATED, NOT VALID AS OPEN LOOP: " + strings.Join(why, "; ")
}

// Describe says in words what was asked.
func (b *BurstReport) Describe() string {
	law := ""
	if b.RateLaw != "" && b.RateLaw != "constant" {
		law = ", " + b.RateLaw
	}
	return fmt.Sprintf("%s at %.4g/s%s from %s for %s", b.Kind, b.RatePerS, law, seconds(b.StartS), seconds(b.DurationS))
}

// Verdict says in words how the achieved gaps compare with their law.
func (g GapReport) Verdict() string {
	if g.Count < 2 {
		return "too few requests to check the gaps"
	}
	verdict := "follow the law"
	if !g.Faithful {
		verdict = "DIFFER from the law"
	}
	return fmt.Sprintf("gaps %s: mean %.4f ms (%+.2f %%), CV %.3f (drawn %.3f, theory %.3f), KS D %.4f and p %.3f with %.3g µs forgiven",
		verdict, g.MeanMS, 100*(g.Mean-1), g.CV, g.DrawnCV, g.TheoryCV, g.KSDTolerant, g.KSP, g.ToleranceUS)
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}
