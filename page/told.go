package page

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"trimtab/control"
	"trimtab/plain"
	"trimtab/tuner"
	"trimtab/words"
)

// shown is a name as people see it, cut where it tells nothing more.
func shown(name string) string {
	const most = 200
	text := plain.Text(name)
	if len(text) <= most {
		return text
	}
	cut := most
	for cut > 0 && text[cut]&0xc0 == 0x80 {
		cut--
	}
	return text[:cut] + "…"
}

// poolUsed is the share of the slots of a pool that is used.
func poolUsed(p *tuner.PoolExplanation) *float64 {
	slots, used := 0.0, 0.0
	for i := range p.Servers {
		slots += p.Servers[i].Slots
		used += p.Servers[i].Slots * p.Servers[i].Utilisation
	}
	if slots <= 0 {
		return nil
	}
	return number(used / slots)
}

// pursued are the lines that trimtab explain prints of an objective.
func pursued(o *control.ObjectiveExplanation) []string {
	var out []string
	for line := range strings.Lines(words.Objective(o)) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return plainAll(out)
}

// why says of every pool why it was decided as it was, in the sentences of trimtab explain.
func why(e *tuner.Explanation, b words.Budget) []Why {
	out := []Why{}
	for i := range e.Pools {
		if i == whyMost {
			break
		}
		p := &e.Pools[i]
		w := Why{Sentences: words.Sentences(p, b)}
		for _, g := range p.Groups {
			w.Groups = append(w.Groups, shown(g))
		}
		out = append(out, w)
	}
	return out
}

// status says whether changes pass.
func status(s *Step, have bool) Status {
	switch {
	case s.Problem != "":
		level := "fail"
		text := "The last step failed: " + plain.Text(s.Problem) + ". The weights stay as they are."
		if !have && s.Sample == nil {
			level, text = "wait", "Waiting for the status page of NGINX: "+plain.Text(s.Problem)+"."
		}
		return Status{Level: level, Text: text, Todo: "trimtab nginx check says what is missing"}
	case s.Sample == nil:
		return Status{Level: "wait", Text: "Waiting for the status page of NGINX."}
	case s.Held != "":
		return Status{Level: "hold", Text: "Changes are held: " + plain.Text(s.Held) + ".", Todo: words.Remedy(s.Held)}
	case len(s.Sample.Groups) == 0:
		return Status{Level: "wait", Text: "The status page shows no upstream that may be tuned."}
	}
	return Status{Level: "ok", Text: "Changes pass when they pay."}
}

// ordered are lines of what is said of servers.
func ordered(list map[string]map[string]string) []string {
	var out []string
	for _, upstream := range slices.Sorted(maps.Keys(list)) {
		for _, server := range slices.Sorted(maps.Keys(list[upstream])) {
			out = append(out, fmt.Sprintf("%s of %s: %s", server, upstream, list[upstream][server]))
		}
	}
	return plainAll(out)
}

func plainAll(list []string) []string {
	const most = 50
	out := []string{}
	for i, text := range list {
		if i == most {
			return append(out, fmt.Sprintf("and %d more", len(list)-most))
		}
		out = append(out, shown(text))
	}
	return out
}

// number is v unless it is none.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
