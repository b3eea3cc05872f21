package arena

import (
	"fmt"
	"strings"
)

// LeaderHeads and Columns are the table of a leaderboard, of policies against the floor and the reference.
func LeaderHeads(floor, reference string) []string {
	return []string{"policy", "p99 ÷ " + floor, "95 %", "÷ " + reference, "p (Holm)", "ART/request", "errors",
		"changes/min", "trained, s per world", "decision"}
}

// Columns are a row of the table; trained is the mean time of training per world in s, negative: it needs none.
func (l *Leader) Columns(trained float64) []string {
	against, p := "–", "–"
	if l.Against.N > 0 {
		against, p = fmt.Sprintf("%.3f", l.Against.Mean), fmt.Sprintf("%.2g", l.P)
		if l.Significant() {
			against = "**" + against + "**"
		}
	}
	training := "–"
	if trained >= 0 {
		training = fmt.Sprintf("%.0f", trained)
	}
	decision := fmt.Sprintf("%.0f µs", l.DecisionUS)
	if l.DecisionUS >= 1e4 {
		decision = fmt.Sprintf("%.0f ms", l.DecisionUS/1e3)
	}
	return []string{l.Policy, fmt.Sprintf("%.3f", l.P99Ratio.Mean), fmt.Sprintf("%.3f to %.3f", l.P99Ratio.Low,
		l.P99Ratio.High), against, p,
		fixed(l.ART), percent(l.ErrorRatio), number(l.Changes.Mean), training, decision}
}

// WorldColumns are p99 in ms by world, with the half-width of its interval.
func (l *Leader) WorldColumns(worlds []string) []string {
	out := []string{l.Policy}
	for _, w := range worlds {
		e := l.P99MS[w]
		out = append(out, fmt.Sprintf("%s ± %s", number(e.Mean), spread(e)))
	}
	return out
}

// MarkdownTable writes a table whose first column is text and whose others are figures.
func MarkdownTable(heads []string, rows [][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|---|%s\n", strings.Join(heads, " | "), strings.Repeat("---:|", len(heads)-1))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r, " | "))
	}
	return b.String()
}
