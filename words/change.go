package words

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"trimtab/plain"
	"trimtab/tuner"
	"trimtab/weights"
)

// Shares are the parts of a group's requests that its weights give to each server: what is down gets none.
func Shares(g weights.Group) map[string]float64 {
	out, total := make(map[string]float64, len(g)), 0.0
	for server, s := range g {
		if !s.Down {
			out[server] = float64(s.Weight.Int())
			total += out[server]
		} else {
			out[server] = 0
		}
	}
	for server := range out {
		if total > 0 {
			out[server] /= total
		}
	}
	return out
}

// Move is what a change does to one server of a group.
type Move struct {
	Group, Server string
	From, To      float64 // shares
	WasDown, Down bool
}

// String is such as "b: 20 → 9 % of compose_backend".
func (m Move) String() string {
	name := plain.Text(m.Server)
	switch {
	case m.Down && !m.WasDown:
		return fmt.Sprintf("%s: taken out of %s", name, plain.Text(m.Group))
	case m.WasDown && !m.Down:
		return fmt.Sprintf("%s: back, with %s %% of %s", name, Percent(m.To), plain.Text(m.Group))
	}
	return fmt.Sprintf("%s: %s → %s %% of %s", name, Percent(m.From), Percent(m.To), plain.Text(m.Group))
}

// Moves are those of a change, first the server that loses or gains the largest part of what it had.
func Moves(was, now weights.Set) []Move {
	var out []Move
	for _, group := range slices.Sorted(maps.Keys(now)) {
		from, to := Shares(was[group]), Shares(now[group])
		for _, server := range slices.Sorted(maps.Keys(now[group])) {
			m := Move{Group: group, Server: server, From: from[server], To: to[server],
				WasDown: was[group][server].Down, Down: now[group][server].Down}
			if math.Abs(m.To-m.From) >= 0.0005 || m.WasDown != m.Down {
				out = append(out, m)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Move) int { return cmp.Compare(b.size(), a.size()) })
	return out
}

// size is how much of what it had a server loses or gains; a percent more or less than nothing is not much.
func (m Move) size() float64 {
	const little = 0.01
	return math.Abs(math.Log((m.To + little) / (m.From + little)))
}

// movesNamed is how many servers a line names.
const movesNamed = 12

// Lines say what a change does, the same move of a server in several groups once, and none of those that cannot be seen
// in percent.
func Lines(moves []Move) []string {
	type kind struct{ server, text string }
	var order []kind
	groups := map[kind][]string{}
	for _, m := range moves {
		bare := m
		bare.Group = ""
		k := kind{m.Server, bare.String()}
		if Percent(m.From) == Percent(m.To) && m.Down == m.WasDown {
			continue
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], m.Group)
	}
	if len(order) == 0 && len(moves) > 0 {
		return []string{fmt.Sprintf("%d shares by less than a percent", len(moves))}
	}
	var out []string
	for i, k := range order {
		if i == movesNamed {
			return append(out, fmt.Sprintf("and %d more", len(order)-i))
		}
		names := make([]string, 0, len(groups[k]))
		for j, g := range groups[k] {
			if j == 3 && len(groups[k]) > 4 {
				names = append(names, fmt.Sprintf("%d more", len(groups[k])-j))
				break
			}
			names = append(names, plain.Text(g))
		}
		out = append(out, k.text+list(names))
	}
	return out
}

// list joins names: "a, b and c".
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// Change says what a change does and what is expected of it.
func Change(was, now weights.Set, e *tuner.Explanation) string {
	moves := Moves(was, now)
	if len(moves) == 0 {
		return "the shares stay as they are"
	}
	text := strings.Join(Lines(moves), "; ")
	if e == nil {
		return text
	}
	for i := range e.Pools {
		p := &e.Pools[i]
		if !slices.ContainsFunc(p.Groups, func(g string) bool { return now[g] != nil }) {
			continue
		}
		if x := Expected(p.Forecast); x != "" {
			text += "; " + x
		}
	}
	if s := saturates(moves, e); s != "" {
		text += "; " + s
	}
	return text
}

// Expected says what a change is expected to bring; empty: nothing is.
func Expected(f *tuner.ForecastExplanation) string {
	if f == nil || f.Skipped != "" || f.ExpectedP99MS.Change <= 0 {
		return ""
	}
	v := f.ExpectedP99MS
	return "expected p99 " + pair(v.Hold, v.Change, " → ")
}

// saturates says where the server ends that loses most.
func saturates(moves []Move, e *tuner.Explanation) string {
	for _, m := range moves {
		if m.To >= m.From || m.Down {
			continue
		}
		for i := range e.Pools {
			for j := range e.Pools[i].Servers {
				s := &e.Pools[i].Servers[j]
				most := s.CapacityPerSec[m.Group]
				if s.Server != m.Server || !(most > 0) || math.IsInf(most, 0) {
					continue
				}
				return fmt.Sprintf("%s saturates at %s", plain.Text(s.Server), PerSec(most))
			}
		}
	}
	return ""
}
