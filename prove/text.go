package prove

import (
	"fmt"
	"math"
	"strings"
	"time"

	"trimtab/plain"
)

// names of the measures for people, and how their values are written.
var names = map[Measure]string{
	P99: "p99", Mean: "mean response", ART: "tardiness per request (ART)", Errors: "errors", Used: "capacity used",
	InFlight: "requests in service",
}

// Name is the measure for people.
func (m Measure) Name() string { return names[m] }

// Value writes a value of the measure.
func (m Measure) Value(v float64) string {
	switch m {
	case P99, Mean:
		return msText(v)
	case Errors, Used:
		return fmt.Sprintf("%.2f %%", 100*v)
	}
	return fmt.Sprintf("%.3g", v)
}

func msText(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.2f ms", v)
	}
	return fmt.Sprintf("%.0f ms", v)
}

// Words says the change in plain words: "12 % lower", "2.2 times higher", "0.10 points lower".
func (e Effect) Words() string { return e.change(e.Change) }

func (e Effect) change(v float64) string {
	switch {
	case v == 0:
		return "unchanged"
	case !e.Relative && (e.Measure == Errors || e.Measure == Used):
		return fmt.Sprintf("%.2f points %s", math.Abs(100*v), direction(v))
	case !e.Relative:
		return fmt.Sprintf("%.3g %s", math.Abs(v), direction(v))
	case v >= 1:
		return fmt.Sprintf("%.1f times higher", 1+v)
	case v <= -0.5:
		return fmt.Sprintf("%.1f times lower", 1/(1+v))
	}
	return fmt.Sprintf("%.1f %% %s", math.Abs(100*v), direction(v))
}

func direction(v float64) string {
	if v > 0 {
		return "higher"
	}
	return "lower"
}

// Interval writes the interval: "95 %: 8.1 % lower to 15 % lower".
func (e Effect) Interval(alpha float64) string {
	if e.Low == nil {
		return "too few pairs for an interval"
	}
	return fmt.Sprintf("%.0f %%: %s to %s", 100*(1-alpha), e.change(*e.Low), e.change(*e.High))
}

// Headline is the result in one sentence.
func (r Result) Headline() string {
	e := r.Decides
	of := fmt.Sprintf("%s %s → %s, %s (%s)", e.Measure.Name(), e.Measure.Value(e.Operator), e.Measure.Value(e.Tuned),
		e.Words(),
		e.Interval(r.Plan.Alpha))
	switch {
	case r.Stages[len(r.Stages)-1].Breaks >= mostBreaks:
		return "tuned weights are worse: the guard broke off two blocks"
	case r.Watched && (r.Verdict == Better || r.Verdict == Worse):
		return fmt.Sprintf("with other weights than the operator's: %s. Nobody drew the order: the load may "+
			"be the cause", of)
	case r.Verdict == Better:
		return "tuned weights are better: " + of
	case r.Verdict == Worse:
		return "tuned weights are worse: " + of
	case e.Pairs == 0:
		return "nothing can be said yet: no pair of blocks is complete"
	case r.Verdict == TooFew && e.Low == nil:
		return fmt.Sprintf("nothing can be said yet: %d of at least %d pairs are complete", e.Pairs, r.Plan.LeastPairs)
	case r.Verdict == TooFew:
		return fmt.Sprintf("too little was measured, %d of at least %d pairs: %s", e.Pairs, r.Plan.LeastPairs, of)
	case r.Verdict == Stopped:
		return "stopped before anything was clear: " + of
	}
	return "no difference was found: " + of
}

// Progress says where a running experiment stands.
func (x *Experiment) Progress() string {
	if x.Ended() {
		return "ended " + x.OverAt.Format(time.RFC3339)
	}
	pairs, st := 0, x.stage()
	for i := range x.Stages {
		pairs += len(x.Stages[i].whole())
	}
	text := fmt.Sprintf("pair %d of at most %d", pairs+1, max(pairs+1, x.Plan.pairs()))
	block := "first block"
	if st.open() != nil {
		block = "second block"
	}
	c := &x.now
	switch whose := map[Arm]string{Operator: "the operator's weights", Tuned: "tuned weights"}[x.Arm()]; {
	case !c.begun:
		text += fmt.Sprintf(", %s: waiting for %s to be in force", block, whose)
	case c.washed < x.Plan.washOut().Seconds():
		text += fmt.Sprintf(", %s on %s: wash-out, %.0f s left", block, whose, x.Plan.washOut().Seconds()-c.washed)
	default:
		text += fmt.Sprintf(", %s on %s: %.0f of %.0f s measured", block, whose, c.block.Seconds,
			x.Plan.Block.Seconds())
	}
	return text
}

// Words says in a sentence what the experiment can see.
func (p *Power) Words(e Effect) string {
	if p == nil {
		return ""
	}
	text := fmt.Sprintf("to see %.0f %% of %s ", 100*p.Seen, e.Measure.Name())
	if p.Needed == 0 {
		text += "no experiment is long enough here"
	} else {
		text += fmt.Sprintf("takes about %s (%d pairs)", hoursText(p.Hours), p.Needed)
	}
	if p.Sees > 0 {
		least := Effect{Measure: e.Measure, Relative: e.Relative, Change: -p.Sees}
		text += fmt.Sprintf("; the %s planned see a change to %s or more", hoursText(p.Planned), least.Words())
	}
	return text + fmt.Sprintf(" (in four of five experiments; from %d pairs)", p.Pairs)
}

func hoursText(h float64) string {
	switch {
	case h < 1:
		return fmt.Sprintf("%.0f minutes", math.Ceil(60*h))
	case h < 48:
		return fmt.Sprintf("%.1f hours", h)
	}
	return fmt.Sprintf("%.0f days", h/24)
}

// Text is the report for people, as it goes into a ticket.
func (r Result) Text() string {
	var b strings.Builder
	name := "Experiment " + r.ID
	if r.Watched {
		name = strings.TrimSpace("Recorded statistics " + r.Target)
	}
	fmt.Fprintf(&b, "%s: %s.\n\n", plain.Text(name), r.Headline())
	of := strings.TrimSpace(r.Host + " " + r.Target)
	if of != "" {
		of += ", "
	}
	fmt.Fprintf(&b, "  %sNGINX %s, trimtab %s, seed %d, began %s\n", plain.Text(of), plain.Text(orUnknown(r.NGINX)),
		orUnknown(r.Version), r.Seed,
		r.Began.Format(time.RFC3339))
	p := r.Plan
	fmt.Fprintf(&b, "  blocks of %v after %v of wash-out, at most %v; %s decides, error rate %.0f %% over all looks, "+
		"margin %.0f %%\n", p.Block,
		p.washOut(), p.Duration, p.Measure.Name(), 100*p.Alpha, 100*max(0, p.Margin))
	fmt.Fprintf(&b, "  %s; %.0f s measured in %d pairs", r.Progress(), r.At, len(r.stage().whole()))
	if r.Restarts > 0 {
		fmt.Fprintf(&b, ", taken up again %d times", r.Restarts)
	}
	b.WriteString("\n")
	if len(r.Effects) > 0 {
		fmt.Fprintf(&b, "\n  %-28s %11s %11s  %s\n", "", "operator's", "tuned", "change")
	}
	for _, e := range r.Effects {
		e.row(&b, e.Measure.Name(), p.Alpha)
	}
	if len(r.PerGroup) > 1 {
		fmt.Fprintf(&b, "\n  %s by upstream\n", r.Decides.Measure.Name())
		for i, e := range r.PerGroup {
			if i == 20 {
				fmt.Fprintf(&b, "  and %d more (see --json)\n", len(r.PerGroup)-i)
				break
			}
			e.row(&b, plain.Text(e.Upstream), p.Alpha)
		}
	}
	for i, e := range r.Earlier {
		fmt.Fprintf(&b, "\n  before %s (%s): %s, %s (%d pairs)\n", r.Stages[i+1].From.Format(time.RFC3339),
			plain.Text(r.Stages[i+1].Why),
			e.Words(), e.Interval(p.Alpha), e.Pairs)
	}
	if text := r.Power.Words(r.Decides); text != "" && r.Verdict != Better && r.Verdict != Worse {
		fmt.Fprintf(&b, "\n  %s\n", text)
	}
	if n := len(r.stage().Voids); n > 0 {
		v := r.stage().Voids[n-1]
		fmt.Fprintf(&b, "\n  %d blocks did not count, the last because: %s\n", n, plain.Text(v.Reason))
	}
	return b.String()
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// row writes an effect in two lines of a table that fits into 80 columns.
func (e Effect) row(b *strings.Builder, name string, alpha float64) {
	fmt.Fprintf(b, "  %-28s %11s %11s  %s\n", name, e.Measure.Value(e.Operator), e.Measure.Value(e.Tuned), e.Words())
	if e.Low != nil {
		fmt.Fprintf(b, "  %-28s %s\n", "", "("+e.Interval(alpha)+")")
	}
}
