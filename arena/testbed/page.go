package testbed

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"trimtab/deathstarbench"
	"trimtab/loadgen"
	"trimtab/page"
	"trimtab/plain"
	"trimtab/words"
)

// Headline is the outcome in one sentence.
func (r *Report) Headline() string {
	if r.Before.Requests == 0 || r.Tuned.Requests == 0 {
		return "The run ended before both parts had requests."
	}
	return fmt.Sprintf("p99 %s on the starting weights, %s %s: %s", words.MS(r.Before.Latency.P99),
		words.MS(r.Tuned.Latency.P99), r.Policy,
		strings.TrimSpace(words.Ratio("", r.Before.Latency.P99, r.Tuned.Latency.P99)))
}

// Facts say what the report is of.
func (r *Report) Facts() [][2]string {
	var servers []string
	for _, name := range sortedKeys(r.Addresses) {
		servers = append(servers, name+" "+r.Addresses[name])
	}
	out := [][2]string{
		{"Scenario", r.Scenario}, {"Policy", r.Policy}, {"Objective", cmp.Or(r.Objective, "tardiness")},
		{"Target", r.Target}, {"Host", r.Host}, {"NGINX", r.NGINX},
		{"Trimtab", r.Version}, {"Command", r.Command},
		{"Seed", fmt.Sprint(r.Seed)}, {"Started", r.Started.Format("2006-01-02 15:04:05 MST")},
		{"Length", fmt.Sprintf("%.0f s of load", r.DurationS)},
		{"Load", strings.Join(r.Loads, "; ")}, {"Servers", strings.Join(servers, ", ")},
	}
	kept := out[:0]
	for _, f := range out {
		if f[1] != "" {
			kept = append(kept, [2]string{f[0], plain.Text(f[1])})
		}
	}
	return kept
}

// Page is the report as a page shows it.
func (r *Report) Page() page.Report {
	p := page.Report{Title: "Trimtab: " + r.Scenario + ", " + r.Policy, Headline: r.Headline(), Facts: r.Facts(),
		Notes: []string{"Latencies count from the moment each request was due. Shares are in the order of the " +
			"servers. ART is the accumulated relative tardiness against the deadlines."}}
	if r.Interrupted {
		p.Warning = "The run was interrupted: the report covers what was measured until then."
	}
	if r.Saturated {
		p.Warning = strings.TrimSpace(p.Warning +
			fmt.Sprintf(" Requests were sent late (p99 %.1f ms): this machine was too busy for the load to "+
				"count as open.", r.Lateness.P99))
	}
	t := page.Table{Caption: "Before and after", Head: []string{"", "Starting weights", "Transition", r.Policy}}
	row := func(name string, cell func(Part) string) {
		t.Rows = append(t.Rows, []string{name, cell(r.Before), cell(r.Transition), cell(r.Tuned)})
	}
	ms := func(pick func(loadgen.Summary) float64) func(Part) string {
		return func(p Part) string {
			if p.Requests == 0 {
				return "–"
			}
			return words.MS(pick(p.Latency))
		}
	}
	row("Requests due in", func(p Part) string { return fmt.Sprintf("%.0f–%.0f s", p.FromS, p.ToS) })
	row("Requests", func(p Part) string { return fmt.Sprint(p.Requests) })
	row("Errors", func(p Part) string { return fmt.Sprint(p.Errors) })
	row("Mean", ms(func(s loadgen.Summary) float64 { return s.Mean }))
	row("p50", ms(func(s loadgen.Summary) float64 { return s.P50 }))
	row("p90", ms(func(s loadgen.Summary) float64 { return s.P90 }))
	row("p99", ms(func(s loadgen.Summary) float64 { return s.P99 }))
	row("ART per request", func(p Part) string { return fmt.Sprintf("%.3f", p.ARTPerRequest) })
	row("Reloads", func(p Part) string { return fmt.Sprint(p.Reloads) })
	r.objectiveRows(row)
	for _, group := range sortedKeys(r.Weights) {
		row("Shares of "+group, func(p Part) string { return Shares(p.Weights[group]) })
	}
	p.Tables = append(p.Tables, t)
	latency := page.Chart{Title: "Latency of the requests due at a time", XName: "s since the start of the load",
		Unit: "ms", Log: true, Lines: []page.Line{{Name: "p50"}, {Name: "p99"}}}
	rate := page.Chart{Title: "Requests", XName: "s since the start of the load", Unit: "/s",
		Lines: []page.Line{{Name: "due"}}}
	for i := range r.Intervals {
		iv := &r.Intervals[i]
		latency.X, rate.X = append(latency.X, iv.AtS), append(rate.X, iv.AtS)
		latency.Lines[0].Values, latency.Lines[1].Values = append(latency.Lines[0].Values, above(iv.P50)),
			append(latency.Lines[1].Values, above(iv.P99))
		rate.Lines[0].Values = append(rate.Lines[0].Values, &iv.RatePerSec)
		if iv.Reloaded {
			latency.Marks = append(latency.Marks, page.Mark{X: iv.AtS, Text: iv.Reason})
		}
	}
	p.Charts = append(p.Charts, latency, rate)
	d := page.Table{Caption: "Decisions", Head: []string{"At", "p99", "Reload", "Reason"}}
	for i := range r.Intervals {
		iv := &r.Intervals[i]
		if iv.Reason == "" || !iv.Reloaded && strings.HasPrefix(iv.Reason, "hold") {
			continue
		}
		reload := ""
		if iv.Reloaded {
			reload = "yes"
		}
		d.Rows = append(d.Rows, []string{fmt.Sprintf("%.0f s", iv.AtS), words.MS(iv.P99), reload,
			plain.Text(iv.Reason)})
	}
	if len(d.Rows) > 0 {
		p.Tables = append(p.Tables, d)
	}
	return p
}

// above is a value for a logarithmic scale; nil: there was no request.
func above(v float64) *float64 {
	if v <= 0 {
		return nil
	}
	return &v
}

func (r *Report) writeHTML(w io.Writer) error {
	d := r.Seen
	p := r.Page()
	d.Report = &p
	return page.Write(w, d)
}

// lawsOf say how each load of a scenario arrives: "compose-post exp 27/s", or with phases "… 27/s, from 30s 54/s".
func lawsOf(sc *deathstarbench.Scenario) []string {
	const most = 8
	var out []string
	for _, l := range sc.Loads {
		kind := l.Arrival
		if kind == "" {
			kind = "exp"
		}
		text := l.Workload + " " + kind
		for i, p := range l.Phases {
			switch {
			case i == most:
				text += fmt.Sprintf(", and %d phases more", len(l.Phases)-i)
			case i > most:
			case i == 0 && p.At == 0:
				text += fmt.Sprintf(" %.4g/s", p.Rate)
			default:
				text += fmt.Sprintf(", from %s %.4g/s", p.At.Std(), p.Rate)
			}
		}
		out = append(out, text)
	}
	return out
}
