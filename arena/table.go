package arena

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteTable writes one table per scenario for a terminal.
func WriteTable(w io.Writer, summaries []Summary, baseline string) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	last := ""
	for _, s := range summaries {
		if s.Scenario != last {
			if last != "" {
				fmt.Fprintln(tab)
			}
			last = s.Scenario
			fmt.Fprintf(tab, "%s\tmean ms\tp50 ms\tp90 ms\tp99 ms\t± ms\tp99 vs %s\tART/req\terrors\treloads\tto 90 "+
				"%%\tregret\t\n", s.Scenario, baseline)
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", s.Policy, number(s.MeanMS.Mean),
			number(s.P50MS.Mean),
			number(s.P90MS.Mean), number(s.P99MS.Mean), spread(s.P99MS), interval(s.P99Ratio), fixed(s.ART),
			percent(s.ErrorRatio),
			number(s.Reloads.Mean), closed(&s), fixed(s.Regret))
	}
	if err := tab.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return writeObjectives(w, summaries)
}

// writeObjectives writes what the objectives of scenarios gave, one table for each, and how often their bounds held.
func writeObjectives(w io.Writer, summaries []Summary) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	last := ""
	for i := range summaries {
		s := &summaries[i]
		if s.Objective == "" {
			continue
		}
		names := slices.Sorted(maps.Keys(s.Held))
		if s.Scenario != last {
			last = s.Scenario
			fmt.Fprintf(tab, "\n%s: %s\treward/s\t÷ optimal\tunits\t", s.Scenario, s.Objective)
			for _, name := range names {
				fmt.Fprintf(tab, "%s carried/s\theld\twhere optimal\t", name)
			}
			fmt.Fprintln(tab)
		}
		fmt.Fprintf(tab, "%s\t%.3f\t%s\t%s\t", s.Policy, s.Reward.Mean, fixed(s.ShareOfOptimal),
			number(s.Capacity.Mean))
		for _, name := range names {
			fmt.Fprintf(tab, "%s\t%s\t%s\t", number(s.Carried[name].Mean), heldShare(s.Held[name]),
				heldShare(s.HeldWhereOptimal[name]))
		}
		fmt.Fprintln(tab)
	}
	if err := tab.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

func heldShare(e Estimate) string {
	if e.N == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", 100*e.Mean)
}

// number writes a positive figure with about three significant digits.
func number(x float64) string {
	switch {
	case x >= 99.95:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.995:
		return fmt.Sprintf("%.1f", x)
	case x == 0:
		return "0"
	}
	return fmt.Sprintf("%.2f", x)
}

func spread(e Estimate) string {
	if e.N < 2 {
		return "–"
	}
	return number(e.High - e.Mean)
}

func interval(e Estimate) string {
	switch {
	case e.N == 0:
		return "–"
	case e.N == 1:
		return number(e.Mean)
	}
	return fmt.Sprintf("%s [%s, %s]", number(e.Mean), number(e.Low), number(e.High))
}

func fixed(e Estimate) string {
	if e.N == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3f", e.Mean)
}

func percent(e Estimate) string {
	if e.Mean == 0 {
		return "0"
	}
	return fmt.Sprintf("%.2f %%", 100*e.Mean)
}

func closed(s *Summary) string {
	switch {
	case s.Closed == 0:
		return "–"
	case s.Closed < s.Seeds:
		return fmt.Sprintf("%.0f (%d/%d)", s.To90Pct, s.Closed, s.Seeds)
	}
	return fmt.Sprintf("%.0f", s.To90Pct)
}

// WriteMarkdown writes the comparison of all scenarios and policies as Markdown tables: p99 with its ratio to the
// baseline, ART per request, errors, reloads and convergence.
func WriteMarkdown(w io.Writer, summaries []Summary, baseline string) error {
	var scenarios, policies []string
	at := map[[2]string]*Summary{}
	for i := range summaries {
		s := &summaries[i]
		if at[[2]string{s.Scenario, s.Policy}] == nil {
			at[[2]string{s.Scenario, s.Policy}] = s
		}
		scenarios, policies = with(scenarios, s.Scenario), with(policies, s.Policy)
	}
	var b strings.Builder
	table := func(title string, value func(*Summary) string, last func(policy string) string) {
		fmt.Fprintf(&b, "%s\n\n| scenario |", title)
		for _, p := range policies {
			fmt.Fprintf(&b, " %s |", p)
		}
		b.WriteString("\n|---|" + strings.Repeat("---:|", len(policies)) + "\n")
		for _, sc := range scenarios {
			fmt.Fprintf(&b, "| %s |", sc)
			for _, p := range policies {
				cell := ""
				if s := at[[2]string{sc, p}]; s != nil {
					cell = value(s)
				}
				fmt.Fprintf(&b, " %s |", cell)
			}
			b.WriteString("\n")
		}
		if last != nil {
			b.WriteString("| **geometric mean** |")
			for _, p := range policies {
				fmt.Fprintf(&b, " %s |", last(p))
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	overall := func(policy string) string {
		var ratios, ones []float64
		for _, sc := range scenarios {
			if s := at[[2]string{sc, policy}]; s != nil && s.P99Ratio.N > 0 {
				ratios, ones = append(ratios, s.P99Ratio.Mean), append(ones, 1)
			}
		}
		if len(ratios) == 0 {
			return ""
		}
		return fmt.Sprintf("**%.2f**", ratio(ratios, ones).Mean)
	}
	table("**p99 in ms** (mean over seeds ± half of the 95 % confidence interval)", func(s *Summary) string {
		if s.P99MS.N < 2 {
			return number(s.P99MS.Mean)
		}
		return number(s.P99MS.Mean) + " ± " + spread(s.P99MS)
	}, nil)
	table(fmt.Sprintf("**p99 as a ratio to `%s`** (geometric mean over the same seeds, 95 %% confidence interval)",
		baseline),
		func(s *Summary) string { return interval(s.P99Ratio) }, overall)
	table("**ART per request**", func(s *Summary) string { return fixed(s.ART) }, nil)
	table("**Errors**", func(s *Summary) string { return percent(s.ErrorRatio) }, nil)
	table("**Reloads** (mean)", func(s *Summary) string { return number(s.Reloads.Mean) }, nil)
	table("**Control intervals until nine tenths of the gap between equal weights and the oracle were closed** "+
		"(median; seeds in which it was, if not all; – no gap, or never closed)",
		closed, nil)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the tables: %w", err)
	}
	return nil
}

func with(list []string, name string) []string {
	for _, n := range list {
		if n == name {
			return list
		}
	}
	return append(list, name)
}
