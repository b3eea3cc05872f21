package arena

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WorldsReport is a comparison over worlds as people read it.
type WorldsReport struct {
	Comparisons []Comparison
	About       map[string]string // what each world is made of, by name
	Worst       int               // how many of the worst worlds of each policy to list
}

// WriteText writes the report for a terminal: a table per baseline, then the worst worlds of every policy against the
// first baseline.
func (r *WorldsReport) WriteText(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i := range r.Comparisons {
		c := &r.Comparisons[i]
		if i == 0 || c.Baseline != r.Comparisons[i-1].Baseline {
			if i > 0 {
				fmt.Fprintln(tab)
			}
			fmt.Fprintf(tab, "p99 ÷ %s\t%s\t\n", c.Baseline, strings.Join(comparisonHeads(), "\t"))
		}
		fmt.Fprintf(tab, "%s\t%s\t\n", c.Policy, strings.Join(c.columns(), "\t"))
	}
	if err := tab.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	for _, c := range r.worst() {
		if _, err := fmt.Fprintf(w, "\nworst worlds of %s against %s\n", c.Policy, c.Baseline); err != nil {
			return fmt.Errorf("write the worst worlds: %w", err)
		}
		list := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(list, "  %s\n", strings.Join(worldHeads(), "\t"))
		for _, v := range c.Worlds[:min(r.Worst, len(c.Worlds))] {
			fmt.Fprintf(list, "  %s\n", strings.Join(r.worldColumns(v), "\t"))
		}
		if err := list.Flush(); err != nil {
			return fmt.Errorf("write the worst worlds: %w", err)
		}
	}
	return nil
}

// WriteMarkdown writes the same as Markdown.
func (r *WorldsReport) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	row := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	for i := range r.Comparisons {
		c := &r.Comparisons[i]
		if i == 0 || c.Baseline != r.Comparisons[i-1].Baseline {
			if i > 0 {
				b.WriteString("\n")
			}
			heads := comparisonHeads()
			row(append([]string{"p99 ÷ `" + c.Baseline + "`"}, heads...)...)
			b.WriteString("|---|" + strings.Repeat("---:|", len(heads)) + "\n")
		}
		row(append([]string{c.Policy}, c.columns()...)...)
	}
	for _, c := range r.worst() {
		fmt.Fprintf(&b, "\nWorst worlds of `%s` against `%s`:\n\n", c.Policy, c.Baseline)
		heads := worldHeads()
		row(heads...)
		b.WriteString("|" + strings.Repeat("---:|", len(heads)-2) + "---|---|\n")
		for _, v := range c.Worlds[:min(r.Worst, len(c.Worlds))] {
			row(r.worldColumns(v)...)
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the tables: %w", err)
	}
	return nil
}

// worst are the comparisons whose worst worlds are listed: those with the first baseline.
func (r *WorldsReport) worst() []*Comparison {
	var out []*Comparison
	for i := range r.Comparisons {
		c := &r.Comparisons[i]
		if r.Worst > 0 && c.Baseline == r.Comparisons[0].Baseline && len(c.Worlds) > 0 {
			out = append(out, c)
		}
	}
	return out
}

func comparisonHeads() []string {
	heads := []string{"ratio", "95 %", "ART"}
	for _, t := range Thresholds() {
		heads = append(heads, fmt.Sprintf("above %g", t))
	}
	return append(heads, "worst", "in", "errors", "baseline's", "changes/h", "cells", "failed")
}

// columns are the cells of a comparison's line below comparisonHeads.
func (c *Comparison) columns() []string {
	tail := []string{share(c.Errors), share(c.BaselineErrors), number(c.ChangesPerHour), fmt.Sprint(c.Cells),
		fmt.Sprint(c.Failed)}
	var out []string
	if len(c.Worlds) == 0 {
		for range len(comparisonHeads()) - len(tail) {
			out = append(out, "–")
		}
		return append(out, tail...)
	}
	e := c.P99Ratio
	out = append(out, fmt.Sprintf("%.3f", e.Mean), fmt.Sprintf("%.3f to %.3f", e.Low, e.High), ratioText(c.ARTRatio))
	for _, above := range c.Above {
		out = append(out, fmt.Sprintf("%.0f %%", 100*above))
	}
	out = append(out, ratioText(c.Worlds[0].Ratio), c.Worlds[0].World)
	return append(out, tail...)
}

func worldHeads() []string {
	return []string{"ratio", "ART", "p99, ms", "baseline's", "errors", "baseline's", "world", "made of"}
}

func (r *WorldsReport) worldColumns(v WorldRatio) []string {
	return []string{
		ratioText(v.Ratio), ratioText(v.ARTRatio), number(v.P99MS), number(v.BaselineP99MS),
		share(v.Errors), share(v.BaselineErrors), v.World,
		r.About[v.World],
	}
}

// share writes a share in per cent.
func share(x float64) string { return percent(Estimate{Mean: x}) }

// ratioText writes a ratio with three decimals while they matter.
func ratioText(x float64) string {
	if x >= 10 {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.3f", x)
}
