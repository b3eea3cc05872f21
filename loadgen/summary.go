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
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "workload\trequests\trate/s\terrors\tdropped\tmean\tp50\tp90\tp99\tp99.9\tmax\tms\t")
	row := func(name string, s *Tally) {
		for _, line := range []struct {
			of      string
			summary Summary
		}{{"latency", s.Latency}, {"raw", s.Raw}, {"lateness", s.Lateness}} {
			if line.of == "latency" {
				fmt.Fprintf(t, "%s\t%d\t%.1f\t%d\t%d\t", name, s.Requests, s.RatePerS, s.Errors, s.Dropped)
			} else {
				fmt.Fprint(t, "\t\t\t\t\t")
			}
			for _, v := range []float64{line.summary.Mean, line.summary.P50, line.summary.P90, line.summary.P99, line.summary.P999, line.summary.Max} {
				fmt.Fprintf(t, "%.3f\t", v)
			}
			fmt.Fprintf(t, "%s\t\n", line.of)
		}
	}
	for i := range r.Workloads {
		row(r.Workloads[i].Name, &r.Workloads[i].Tally)
	}
	if len(r.Workloads) > 1 {
		row("total", &r.Tally)
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
			fmt.Fprintf(&b, "%s %s: %s\n", r.Workloads[i].Name, burst.describe(), burst.Interarrival.Verdict())
		}
	}
	fmt.Fprintf(&b, "seed %d\n", r.Seed)
	_, err := w.Write(b.Bytes())
	return err
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

func (b *BurstReport) describe() string {
	return fmt.Sprintf("%s at %.4g/s from %s for %s", b.Kind, b.RatePerS, seconds(b.StartS), seconds(b.DurationS))
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
	return fmt.Sprintf("gaps %s: mean %.4f ms (%+.2f %%), CV %.3f (drawn %.3f, theory %.3f), KS p %.3f within ±%.3g µs, D %.4f",
		verdict, g.MeanMS, 100*(g.Mean-1), g.CV, g.DrawnCV, g.TheoryCV, g.KSP, g.ToleranceUS, g.KSD)
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}
