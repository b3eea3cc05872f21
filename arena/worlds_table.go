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
	baseline := ""
	for i := range r.Comparisons {
		c := &r.Comparisons[i]
		if c.Baseline != baseline {
			if baseline != "" {
				fmt.Fprintln(tab)
			}
			baseline = c.Baseline
			fmt.Fprintf(tab, "p99 ÷ %s\tratio\t95 %%\t%sworst\tin\tchanges/h\tcells\tfailed\t\n", baseline, headers("above %g\t"))
		}
		fmt.Fprintf(tab, "%s\t\n", strings.Join(c.columns(), "\t"))
	}
	if err := tab.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	for _, c := range r.worst() {
		if _, err := fmt.Fprintf(w, "\nworst worlds of %s against %s\n", c.Policy, c.Baseline); err != nil {
			return fmt.Errorf("write the worst worlds: %w", err)
		}
		list := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, v := range c.Worlds[:min(r.Worst, len(c.Worlds))] {
			fmt.Fprintf(list, "  %s\t%s ms ÷ %s ms\t%s\t%s\n", ratioText(v.Ratio), number(v.P99MS), number(v.BaselineP99MS), v.World, r.About[v.World])
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
	baseline := ""
	for i := range r.Comparisons {
		c := &r.Comparisons[i]
		if c.Baseline != baseline {
			if baseline != "" {
				b.WriteString("\n")
			}
			baseline = c.Baseline
			fmt.Fprintf(&b, "| p99 ÷ `%s` | ratio | 95 %% |%s worst | in | changes/h | cells | failed |\n", baseline, headers(" above %g |"))
			b.WriteString("|---|---:|---|" + strings.Repeat("---:|", len(Thresholds())) + "---:|---|---:|---:|---:|\n")
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(c.columns(), " | "))
	}
	for _, c := range r.worst() {
		fmt.Fprintf(&b, "\nWorst worlds of `%s` against `%s`:\n\n| ratio | p99, ms | baseline's | world | made of |\n|---:|---:|---:|---|---|\n", c.Policy, c.Baseline)
		for _, v := range c.Worlds[:min(r.Worst, len(c.Worlds))] {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", ratioText(v.Ratio), number(v.P99MS), number(v.BaselineP99MS), v.World, r.About[v.World])
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

func headers(format string) string {
	var b strings.Builder
	for _, t := range Thresholds() {
		fmt.Fprintf(&b, format, t)
	}
	return b.String()
}

// columns are the cells of a comparison's line.
func (c *Comparison) columns() []string {
	out := []string{c.Policy}
	if len(c.Worlds) == 0 {
		out = append(out, "–", "–")
		for range Thresholds() {
			out = append(out, "–")
		}
		out = append(out, "–", "–")
	} else {
		out = append(out, fmt.Sprintf("%.3f", c.P99Ratio.Mean), fmt.Sprintf("%.3f to %.3f", c.P99Ratio.Low, c.P99Ratio.High))
		for _, share := range c.Above {
			out = append(out, fmt.Sprintf("%.0f %%", 100*share))
		}
		out = append(out, ratioText(c.Worlds[0].Ratio), c.Worlds[0].World)
	}
	return append(out, number(c.ChangesPerHour), fmt.Sprint(c.Cells), fmt.Sprint(c.Failed))
}

// ratioText writes a ratio with three decimals while they matter.
func ratioText(x float64) string {
	if x >= 10 {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.3f", x)
}
