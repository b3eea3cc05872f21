package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"trimtab/arena/testbed"
	"trimtab/loadgen"
	"trimtab/page"
	"trimtab/plain"
	"trimtab/words"
)

// outcome is what a report says, of a load or of a run, as it is compared.
type outcome struct {
	Path     string             `json:"path"`
	Kind     string             `json:"kind"` // load or run
	Facts    [][2]string        `json:"facts"`
	Requests uint64             `json:"requests"`
	Values   map[string]float64 `json:"values"` // as --fail-if names them: times in ms, errors as a share
	series   loadgen.Series
}

func newCompare(e *env) *cobra.Command {
	var html string
	var asJSON bool
	var failIf []string
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two reports of trimtab load, or two folders of trimtab run, side by side",
		Long: `A and B are reports of trimtab load (--report FILE), folders of trimtab run, or report.json files in them. Of
a run the tuned part counts. What differs between the two beside the figures, such as another target, seed or version,
is said first.

--fail-if names figures of B, such as 'p99>200ms', or how B differs from A, such as 'p99.change>5%'.`,
		Example: `  trimtab compare before.json after.json --html compare.html
  trimtab compare out/monday out/tuesday --fail-if 'p99.change>10%'`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			limits, err := parseLimits(failIf)
			if err != nil {
				return withCode(exitUsage, err)
			}
			var of [2]*outcome
			for i := range of {
				if of[i], err = readOutcome(args[i]); err != nil {
					return withCode(exitConfig, fmt.Errorf("compare: %w", err))
				}
			}
			if html != "" {
				file, err := create(html)
				if err != nil {
					return err
				}
				p := comparePage(of[0], of[1])
				if err := errors.Join(page.Write(file, page.Data{Report: &p}), file.Close()); err != nil {
					return withCode(exitConfig, err)
				}
			}
			if asJSON {
				err = printJSON(e.stdout, compareJSON{of[0], of[1], changes(of[0], of[1])})
			} else {
				err = e.text(func(w io.Writer) error { return compareText(w, of[0], of[1]) })
			}
			if err != nil {
				return err
			}
			values := map[string]float64{}
			for name, v := range of[1].Values {
				values[name] = v
			}
			for name, v := range changes(of[0], of[1]) {
				values[name+".change"] = v
			}
			return limits.check(values)
		},
	}
	cmd.Flags().StringVar(&html, "html", "", "file for the comparison as one page")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().StringArrayVar(&failIf, "fail-if", nil,
		"end with code 8 when this holds, such as 'p99>200ms' or 'p99.change>5%' (repeatable)")
	return cmd
}

// mostReport bounds a report that is read.
const mostReport = 256 << 20

// readOutcome reads a report of a load or of a run.
func readOutcome(path string) (*outcome, error) {
	file := path
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		file = filepath.Join(path, "report.json")
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("%w: want a report of trimtab load --report, or a folder of trimtab run", err)
	}
	if info.Size() > mostReport {
		return nil, fmt.Errorf("%s: %d bytes are more than any report has", file, info.Size())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var kind struct {
		Scenario  *string          `json:"scenario"`
		Tuned     *json.RawMessage `json:"tuned"`
		Latency   *json.RawMessage `json:"latency_ms"`
		Workloads *json.RawMessage `json:"workloads"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	switch {
	case kind.Scenario != nil && kind.Tuned != nil:
		r := new(testbed.Report)
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		o := &outcome{Path: path, Kind: "run", Facts: r.Facts(), Requests: r.Tuned.Requests, Values: runValues(r)}
		for i := range r.Intervals {
			iv := &r.Intervals[i]
			o.series.AtS, o.series.RatePerS = append(o.series.AtS, iv.AtS), append(o.series.RatePerS, iv.RatePerSec)
			o.series.P50MS, o.series.P99MS, o.series.Errors = append(o.series.P50MS, iv.P50),
				append(o.series.P99MS, iv.P99), append(o.series.Errors, iv.Errors)
		}
		return o, nil
	case kind.Latency != nil && kind.Workloads != nil:
		r := new(loadgen.Report)
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		p := loadPage(r)
		return &outcome{Path: path, Kind: "load", Facts: p.Facts, Requests: r.Requests, Values: loadValues(&r.Tally),
			series: r.Series}, nil
	}
	return nil, fmt.Errorf("%s: neither a report of trimtab load nor of trimtab run", file)
}

// compared are the figures in the order of the table.
func compared() []string {
	return []string{"rate", "errors", "mean", "p50", "p90", "p99", "p999", "max", "art", "lateness", "dropped",
		"reloads"}
}

// figureOf writes a figure in its unit.
func figureOf(name string, v float64) string {
	switch name {
	case "errors", "dropped":
		return fmt.Sprintf("%.3f %%", 100*v)
	case "rate":
		return fmt.Sprintf("%.1f/s", v)
	case "art":
		return fmt.Sprintf("%.3f", v)
	case "reloads":
		return fmt.Sprintf("%.0f", v)
	}
	return words.MS(v)
}

// changes are those of B against A: relative, of shares the difference.
func changes(a, b *outcome) map[string]float64 {
	out := map[string]float64{}
	for name, was := range a.Values {
		now, ok := b.Values[name]
		switch {
		case !ok:
		case name == "errors" || name == "dropped":
			out[name] = now - was
		case was > 0:
			out[name] = now/was - 1
		}
	}
	return out
}

// changeOf says how a figure of B differs.
func changeOf(name string, a, b *outcome) string {
	was, okA := a.Values[name]
	now, okB := b.Values[name]
	switch {
	case !okA || !okB:
		return ""
	case name == "errors" || name == "dropped" || name == "reloads":
		if was == now {
			return "the same"
		}
		scale, unit := 1.0, ""
		if name != "reloads" {
			scale, unit = 100, " points"
		}
		return fmt.Sprintf("%+.3g%s", scale*(now-was), unit)
	}
	return words.Ratio("", was, now)[1:]
}

// differ are the facts that are not the same: what else may explain a difference.
func differ(a, b *outcome) [][3]string {
	known := map[string]string{}
	for _, f := range a.Facts {
		known[f[0]] = f[1]
	}
	var out [][3]string
	for _, f := range b.Facts {
		if was, ok := known[f[0]]; was != f[1] && f[0] != "Started" && f[0] != "Servers" && f[0] != "Load" {
			if !ok {
				was = "–"
			}
			out = append(out, [3]string{f[0], was, f[1]})
		}
	}
	return out
}

// headline is the comparison in one sentence.
func headline(a, b *outcome) string {
	if a.Values["p99"] == 0 || b.Values["p99"] == 0 {
		return "One of the reports has no requests: there is nothing to compare."
	}
	return fmt.Sprintf("%s → %s: %s, %s", a.Path, b.Path, words.Ratio("p99", a.Values["p99"], b.Values["p99"]),
		words.Ratio("mean", a.Values["mean"], b.Values["mean"]))
}

func compareText(w io.Writer, a, b *outcome) error {
	fmt.Fprintf(w, "%s\n\n", plain.Text(headline(a, b)))
	for _, d := range differ(a, b) {
		fmt.Fprintf(w, "%s differs: %s, %s\n", d[0], d[1], d[2])
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\n\tA\tB\tchange\t\n")
	fmt.Fprintf(t, "requests\t%d\t%d\t\t\n", a.Requests, b.Requests)
	for _, name := range compared() {
		was, okA := a.Values[name]
		now, okB := b.Values[name]
		if okA && okB {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", name, figureOf(name, was), figureOf(name, now), changeOf(name, a, b))
		}
	}
	return t.Flush()
}

// comparePage is the comparison as a page.
func comparePage(a, b *outcome) page.Report {
	p := page.Report{Title: "Comparison", Headline: plain.Text(headline(a, b)),
		Facts: [][2]string{{"A", plain.Text(a.Path)}, {"B", plain.Text(b.Path)}}}
	if a.Kind != b.Kind {
		p.Warning = fmt.Sprintf("A is of a %s and B of a %s.", a.Kind, b.Kind)
	}
	t := page.Table{Caption: "Figures", Head: []string{"", "A", "B", "Change"}}
	t.Rows = append(t.Rows, []string{"requests", fmt.Sprint(a.Requests), fmt.Sprint(b.Requests), ""})
	for _, name := range compared() {
		was, okA := a.Values[name]
		now, okB := b.Values[name]
		if okA && okB {
			t.Rows = append(t.Rows, []string{name, figureOf(name, was), figureOf(name, now), changeOf(name, a, b)})
		}
	}
	p.Tables = append(p.Tables, t)
	if d := differ(a, b); len(d) > 0 {
		t := page.Table{Caption: "What else differs", Head: []string{"", "A", "B"}}
		for _, row := range d {
			t.Rows = append(t.Rows, row[:])
		}
		p.Tables = append(p.Tables, t)
	}
	for _, c := range []struct {
		title, unit string
		log         bool
		pick        func(*loadgen.Series) []*float64
	}{
		{"p99", "ms", true, func(s *loadgen.Series) []*float64 { return positive(s.P99MS) }},
		{"p50", "ms", true, func(s *loadgen.Series) []*float64 { return positive(s.P50MS) }},
		{"Requests", "/s", false, func(s *loadgen.Series) []*float64 { return pointers(s.RatePerS) }},
	} {
		x, lines := together(&a.series, &b.series, c.pick(&a.series), c.pick(&b.series))
		if len(x) > 0 {
			p.Charts = append(p.Charts, page.Chart{Title: c.title, XName: "s since the start", Unit: c.unit,
				Log: c.log, X: x,
				Lines: []page.Line{{Name: "A", Values: lines[0]}, {Name: "B", Values: lines[1]}}})
		}
	}
	return p
}

// positive are the values for a logarithmic scale.
func positive(in []float64) []*float64 {
	out := pointers(in)
	for i, v := range in {
		if v <= 0 {
			out[i] = nil
		}
	}
	return out
}

// together puts two courses on the moments of the longer one; of the other each value stands at the next of them.
func together(a, b *loadgen.Series, va, vb []*float64) (x []float64, lines [2][]*float64) {
	long, short, vl, vs, swap := a, b, va, vb, false
	if len(b.AtS) > len(a.AtS) {
		long, short, vl, vs, swap = b, a, vb, va, true
	}
	other := make([]*float64, len(long.AtS))
	at := 0
	for i := range short.AtS {
		for at < len(long.AtS)-1 && long.AtS[at] < short.AtS[i] {
			at++
		}
		if len(long.AtS) > 0 {
			other[at] = vs[i]
		}
	}
	if swap {
		return long.AtS, [2][]*float64{other, vl}
	}
	return long.AtS, [2][]*float64{vl, other}
}

// compareJSON is two reports and what changed.
type compareJSON struct {
	A      *outcome           `json:"a"`
	B      *outcome           `json:"b"`
	Change map[string]float64 `json:"change"` // relative, of errors the difference
}
