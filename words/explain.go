package words

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"trimtab/control"
	"trimtab/plain"
	"trimtab/tuner"
)

// Sentences say why a pool was decided as it was, what was expected and what came of it, and what another balancing
// method would bring.
func Sentences(p *tuner.PoolExplanation, b Budget) []string {
	out := []string{upper(Hold(p, b)) + "."}
	if f := p.Forecast; f != nil {
		switch {
		case f.Skipped != "":
			out = append(out, "What the change brings was not forecast: "+f.Skipped+".")
		default:
			v := f.ExpectedP99MS
			s := fmt.Sprintf("%s (90 %%: %s) over %.0f s", upper(Expected(f)), pair(v.Low, v.High, " to "),
				f.HorizonSec)
			switch {
			case f.MeasuredP99MS > 0:
				s += ", measured " + MS(f.MeasuredP99MS)
			case f.MeasuredSec > 0 && f.MeasuredSec < f.HorizonSec:
				s += fmt.Sprintf(", measured in %.0f s", f.HorizonSec-f.MeasuredSec)
			}
			out = append(out, s+".")
		}
	}
	if s := p.ForecastScore; s != nil && s.Judged > 0 {
		out = append(out, fmt.Sprintf("Of %d forecasts that could be judged the median was off by %s %%, and %s %% "+
			"fell into their interval.", s.Judged,
			Percent(s.MedianError), Percent(s.Covered)))
	}
	if p.ART > 0 {
		out = append(out, fmt.Sprintf("Requests were late by %.2g deadlines on average (ART, from the %s).", p.ART,
			p.Basis))
	}
	for _, bound := range p.Bounds {
		out = append(out, fmt.Sprintf("A limit took effect: %s.", bound.Words()))
	}
	if a := p.Advice; a != nil {
		out = append(out, fmt.Sprintf("With %s; in NGINX's configuration the p99 would be about %s in place of %s, "+
			"by the simulator: more than weights can bring.", a.Method, MS(a.P99MS), MS(a.NowMS)))
	}
	return out
}

// Server says what is believed of a server: "about 4 slots, 82 % used, saturates at 160/s of compose_backend".
func Server(s *tuner.ServerExplanation) string {
	slots := "slots"
	if s.Slots < 1.5 {
		slots = "slot"
	}
	text := fmt.Sprintf("about %.0f %s, %s %% used", s.Slots, slots, Percent(s.Utilisation))
	var most []string
	for group, v := range s.CapacityPerSec {
		if v > 0 && !math.IsInf(v, 0) {
			most = append(most, fmt.Sprintf("%s of %s", PerSec(v), plain.Text(group)))
		}
	}
	if slices.Sort(most); len(most) > 0 {
		if len(most) > 4 {
			most = append(most[:4], fmt.Sprintf("%d more", len(most)-4))
		}
		text += ", saturates at " + strings.Join(most, " or ")
	}
	if s.Saturated {
		text += fmt.Sprintf(", saturated with %.0f requests waiting", s.Backlog)
	}
	if s.Errors > 0.005 {
		text += fmt.Sprintf(", %s %% errors", Percent(s.Errors))
	}
	if s.Ejected {
		text += ", ejected"
	}
	return text
}

// Regime says which load there is and which may come.
func Regime(e *tuner.Explanation) []string {
	var out []string
	switch r := e.Regime; {
	case r.Learning:
		out = append(out, "Load regimes are still being observed: one regime for all load until then.")
	case r.Index < 0:
		out = append(out, fmt.Sprintf("The load regime is unknown (%s, probability %s %%).", r.Label,
			Percent(r.Probability)))
	default:
		out = append(out, fmt.Sprintf("Load regime %d (%s), probability %s %%.", r.Index, r.Label,
			Percent(r.Probability)))
	}
	for _, n := range e.Next {
		total := 0.0
		for _, v := range n.RatePerSec {
			total += v
		}
		out = append(out, fmt.Sprintf("Load %d, %s, begins within %.0f s with probability %s %%.", n.Regime,
			PerSec(total), n.WithinSec,
			Percent(n.Probability)))
	}
	return out
}

// Objective says how an objective other than tardiness is pursued, line by line; empty: none is.
func Objective(o *control.ObjectiveExplanation) string {
	if o == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nObjective %s: %s\n", o.Kind, o.Reason)
	fmt.Fprintf(&b, "  reward %.3f per s measured; %.3f expected in force, %.3f at best of %d settings\n", o.Reward,
		o.InForce, o.Best, o.Looked)
	for _, name := range slices.Sorted(maps.Keys(o.Services)) {
		s := o.Services[name]
		held := "held"
		if !s.Held {
			held = "not held"
		}
		fmt.Fprintf(&b, "  %s: %.1f of %.1f per s carried, %.1f ms of %.1f ms (%s)", name, s.CarriedPerSec,
			s.OfferedPerSec, s.DelayMS, s.BoundMS, held)
		if share := o.Levels.Blocked[name]; share > 0 {
			fmt.Fprintf(&b, ", %.0f %% refused", 100*share)
		}
		fmt.Fprintln(&b)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Levels.Capacity)) {
		fmt.Fprintf(&b, "  %s: %d units\n", name, o.Levels.Capacity[name])
	}
	for _, u := range o.Unused {
		fmt.Fprintf(&b, "  %s of %s is not used: %s\n", u.Control, u.Of, u.Reason)
	}
	return b.String()
}

// serversNamed is how many servers of a pool a text lists.
const serversNamed = 40

// Text is an explanation in plain words, as trimtab explain prints it.
func Text(e *tuner.Explanation, b Budget) string {
	var t strings.Builder
	fmt.Fprintf(&t, "Decided at %s; %s.\n", e.At.Format(time.RFC3339), b)
	for _, line := range Regime(e) {
		t.WriteString(line + "\n")
	}
	t.WriteString(Objective(e.Objective))
	if len(e.Pools) == 0 {
		t.WriteString(upper(strings.TrimPrefix(e.Reason, "hold: ")) + ".\n")
	}
	for i := range e.Pools {
		p := &e.Pools[i]
		names := make([]string, len(p.Groups))
		for j, g := range p.Groups {
			names[j] = plain.Text(g)
		}
		fmt.Fprintf(&t, "\n%s\n", strings.Join(names, ", "))
		for _, line := range Sentences(p, b) {
			t.WriteString("  " + line + "\n")
		}
		for j := range p.Servers {
			if j == serversNamed {
				fmt.Fprintf(&t, "  and %d servers more (see --json)\n", len(p.Servers)-j)
				break
			}
			fmt.Fprintf(&t, "  %s: %s\n", plain.Text(p.Servers[j].Server), Server(&p.Servers[j]))
		}
		if x := p.Experience; x != nil && x.Visits > 0 {
			fmt.Fprintf(&t, "  Experience: in %.0f visits of load %d times were %.2f times what the model says; the "+
				"plan is %s.\n", x.Visits, x.Regime,
				math.Exp(x.Correction), x.Action)
		}
	}
	return t.String()
}

// upper makes the first letter a capital one.
func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
