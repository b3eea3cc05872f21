package arena

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// AblationReport are the effects of changes as people read them. All of them have the same pairs.
type AblationReport struct{ Effects []Effect }

// WriteText writes the report for a terminal.
func (r *AblationReport) WriteText(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, strings.Join(r.heads(""), "\t"))
	for i := range r.Effects {
		fmt.Fprintln(tab, strings.Join(r.Effects[i].columns(), "\t"))
	}
	if err := tab.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", r.verdict()); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

// WriteMarkdown writes the same as Markdown.
func (r *AblationReport) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	row := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	heads := r.heads("`")
	row(heads)
	b.WriteString("|---|---|" + strings.Repeat("---:|", len(heads)-3) + "---|\n")
	for i := range r.Effects {
		row(r.Effects[i].columns())
	}
	fmt.Fprintf(&b, "\n%s\n", r.verdict())
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

func (r *AblationReport) heads(quote string) []string {
	heads := []string{"changed", "to"}
	if len(r.Effects) > 0 {
		for _, p := range r.Effects[0].Pairs {
			heads = append(heads, "p99, "+quote+p.AsItIs+quote)
		}
	}
	return append(heads, "p99, all", "95 %", "ART", "reloads", "failed", "matters most in")
}

func (e *Effect) columns() []string {
	out := []string{e.Part, e.To}
	for _, p := range append(e.ByPair[:len(e.ByPair):len(e.ByPair)], e.P99) {
		out = append(out, meanText(p))
	}
	interval, most := "–", "–"
	if e.P99.N > 0 {
		interval = fmt.Sprintf("%.3f to %.3f", e.P99.Low, e.P99.High)
	}
	if k, ok := e.Most(); ok {
		most = fmt.Sprintf("%s, %s: %s (%d worlds)", k.Kind, k.Policy, meanText(k.P99), k.P99.N)
		if !k.Sure {
			most += "?"
		}
	}
	return append(out, interval, meanText(e.ART), meanText(e.Reloads), fmt.Sprint(e.Failed), most)
}

func meanText(e Estimate) string {
	if e.N == 0 {
		return "–"
	}
	return ratioText(e.Mean)
}

// verdict names the changes that cost nothing.
func (r *AblationReport) verdict() string {
	var free []string
	for i := range r.Effects {
		if e := &r.Effects[i]; e.Dispensable() {
			free = append(free, e.Part+" "+e.To)
		}
	}
	about := fmt.Sprintf("p99 less than %g %% worse in the mean, and surely worse in no kind of world: ",
		100*dispensable)
	if len(free) == 0 {
		return about + "none."
	}
	return about + strings.Join(free, ", ") + "."
}
