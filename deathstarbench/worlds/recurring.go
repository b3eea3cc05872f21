package worlds

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"trimtab/deathstarbench"
)

// What recurring worlds lie between.
const (
	returns        = 6    // times that every regime comes at least
	shortestSpell  = 180  // s
	longestSpell   = 600  // s
	longestCycle   = 1800 // s in which every regime comes once
	busyFrom       = 0.55 // level of a regime that is busy
	busyTo         = 0.88
	quietFrom      = 0.03 // level of a night
	quietTo        = 0.12
	smallVariation = 0.04 // of rates from one return to the next
)

// regime is a regime of load: how its work is shared by the classes, and its level.
type regime struct {
	name   string
	shares []float64
	level  float64 // of the busiest server's slots, with weights in proportion to capacity
	length float64 // s
}

// Recurring returns the recurring world of the seed.
func Recurring(seed uint64) *World {
	d := newDice(seed, streamRecurring)
	s := &deathstarbench.Scenario{
		Name: fmt.Sprintf("recurring-%d", seed), Warmup: seconds(60), ControlInterval: seconds(pick(d, 3.0, 5)),
		Timeout: deathstarbench.Duration(deathstarbench.DefaultTimeout),
	}
	n, many := 3+d.IntN(6), pick(d, 2, 2, 3)
	kind := pick(d, "uniform", "two-generations", "spread")
	m := d.drawMachines(n, kind, pick(d, 2, 4, 8))
	classes := deathstarbench.Workloads()[:many]
	special := d.drawSpecialists(s, m, classes)
	story := pick(d, "office", "batch", "campaigns", "crowd")
	regimes := d.drawRegimes(story, many)
	spells := d.drawSpells(regimes, story == "campaigns")
	d.drawSpellLoads(s, regimes, spells)
	s.Duration = seconds(spells[len(spells)-1].to)
	hasten(s, d.scale(50, 180)/meanRate(s))
	start := pick(d, "equal", "right")
	d.drawStart(s, start)
	deadlines := d.chance(0.6)
	if deadlines {
		d.drawDeadlines(s)
	}
	deploys := d.chance(0.5)
	if deploys {
		d.drawDeploys(s, spells, len(regimes))
	}
	w := &World{Scenario: s, Seed: seed}
	names := make([]string, len(regimes))
	for i, r := range regimes {
		names[i] = r.name
	}
	for _, p := range spells {
		r := Regime{Name: regimes[p.regime].name, From: tenths(p.from).Std(), To: tenths(p.to).Std()}
		w.Regimes = append(w.Regimes, r)
	}
	w.About = facts{
		"cv": m.cv[0], "deadlines": deadlines, "deploys": deploys, "groups": many,
		"hours": significant(s.Duration.Std().Hours()), "kind": kind, "regimes": strings.Join(names, "/"), "servers": n,
		"specialists": special, "spells": len(spells), "start": start, "story": story,
	}.String()
	return w
}

// drawSpecialists lets all servers serve all classes, each fast for one of them. It returns how much faster.
func (d dice) drawSpecialists(s *deathstarbench.Scenario, m machines, classes []string) float64 {
	special := significant(d.between(1.3, 3))
	fast := make([]int, len(m.slots)) // class that the server is fast for
	for place, server := range d.Perm(len(fast)) {
		fast[server] = place % len(classes)
	}
	base := make([]float64, len(classes))
	for c := range base {
		base[c] = d.scale(10, 60)
	}
	serve(s, m, classes, d.drawMembers(len(classes), len(m.slots), "all"), func(class, server int) float64 {
		mean := base[class] * m.slow[server]
		if fast[server] == class {
			return mean / math.Sqrt(special)
		}
		return mean * math.Sqrt(special)
	})
	return special
}

// drawRegimes draws the regimes of a story in their usual order.
func (d dice) drawRegimes(story string, classes int) []regime {
	mix := func(heavy int) []float64 { // one class is most of the work; −1: all alike
		shares := make([]float64, classes)
		for c := range shares {
			shares[c] = d.between(0.1, 0.3)
			if c == heavy || heavy < 0 {
				shares[c] = d.between(0.7, 1)
			}
		}
		return shares
	}
	alone := func(class int) []float64 {
		shares := slices.Repeat([]float64{0.02}, classes)
		shares[class] = 1
		return shares
	}
	busy := func() float64 { return d.between(busyFrom, busyTo) }
	quiet := func() float64 { return d.between(quietFrom, quietTo) }
	first := d.IntN(classes)
	second := (first + 1) % classes
	var out []regime
	switch story {
	case "office":
		out = []regime{
			{name: "morning", shares: mix(first), level: busy()},
			{name: "midday", shares: mix(-1), level: busy()},
			{name: "evening", shares: mix(second), level: busy()},
			{name: "night", shares: mix(-1), level: quiet()},
		}
	case "batch":
		out = []regime{
			{name: "forenoon", shares: mix(first), level: busy()},
			{name: "afternoon", shares: mix(-1), level: busy()},
			{name: "batch", shares: alone(second), level: busy()},
		}
	case "campaigns":
		for c := range classes {
			out = append(out, regime{name: fmt.Sprintf("campaign-%d", c+1), shares: mix(c), level: busy()})
		}
		out = append(out, regime{name: "between", shares: mix(-1), level: d.between(0.2, 0.5)})
	default:
		out = []regime{
			{name: "night", shares: mix(second), level: quiet()},
			{name: "crowd", shares: mix(first), level: d.between(0.75, busyTo)},
			{name: "usual", shares: mix(-1), level: d.between(0.3, 0.6)},
		}
	}
	longest := min(longestSpell, longestCycle/1.1/float64(len(out)))
	for i := range out {
		out[i].length = d.between(shortestSpell*1.1, longest/1.1)
	}
	return out
}

// spell is a spell of the regime with that index, in s.
type spell struct {
	regime   int
	from, to float64
}

// drawSpells puts the regimes one after the other for two to three hours, in their order or in one of chance.
func (d dice) drawSpells(regimes []regime, shuffled bool) []spell {
	cycle := 0.0
	for _, r := range regimes {
		cycle += r.length
	}
	order := make([]int, len(regimes))
	for i := range order {
		order[i] = i
	}
	var out []spell
	at := 0.0
	for range max(returns, int(d.between(2, 3)*3600/cycle)) {
		if shuffled {
			last := order[len(order)-1]
			d.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
			if len(out) > 0 && order[0] == last {
				order[0], order[1] = order[1], order[0]
			}
		}
		for _, i := range order {
			to := at + math.Round(regimes[i].length*d.between(0.92, 1.08))
			out = append(out, spell{regime: i, from: at, to: to})
			at = to
		}
	}
	return out
}

// drawSpellLoads makes the loads: in every spell its regime's rates, with a small variation.
func (d dice) drawSpellLoads(s *deathstarbench.Scenario, regimes []regime, spells []spell) {
	arrivals := pick(d, "exp", "exp", "norm", "zipf")
	loads := make([]deathstarbench.Traffic, len(s.Upstreams))
	for c := range loads {
		loads[c] = deathstarbench.Traffic{Workload: s.Upstreams[c].Workload, Arrival: arrivals}
	}
	rates := make([][]float64, len(regimes))
	for i, r := range regimes {
		alone := *s
		for c := range s.Upstreams {
			rates[i] = append(rates[i], r.shares[c]*unitRate(s, &s.Upstreams[c]))
			alone.Loads = append(alone.Loads, deathstarbench.Traffic{
				Workload: s.Upstreams[c].Workload, Phases: []deathstarbench.Phase{{Rate: rates[i][c]}},
			})
		}
		busiest := slices.Max(alone.Utilisation(0, byCapacity(s)))
		for c := range rates[i] {
			rates[i][c] *= r.level / busiest
		}
	}
	for _, p := range spells {
		for c := range loads {
			rate := rates[p.regime][c] * d.between(1-smallVariation, 1+smallVariation)
			loads[c].Phases = append(loads[c].Phases, deathstarbench.Phase{At: tenths(p.from), Rate: rate})
		}
	}
	s.Loads = loads
}

// byCapacity are weights in proportion to what each server takes of each class alone, in thousandths of the largest.
func byCapacity(s *deathstarbench.Scenario) map[string][]int {
	out := map[string][]int{}
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		x := capacities(s, u)
		top := slices.Max(x)
		for _, c := range x {
			out[u.Name] = append(out[u.Name], max(1, int(math.Round(1000*c/top))))
		}
	}
	return out
}

// drawDeploys rolls a new version out over all servers at the beginning of every second cycle: one after the other is
// slower for a while.
func (d dice) drawDeploys(s *deathstarbench.Scenario, spells []spell, regimes int) {
	factor := significant(d.between(1.3, 3))
	for first := 0; first < len(spells); first += 2 * regimes {
		p := spells[first]
		each := min(60, 0.9*(p.to-p.from)/float64(len(s.Servers)))
		for i, v := range s.Servers {
			at := p.from + each*float64(i)
			s.Faults = append(s.Faults, deathstarbench.Fault{
				Server: v.Name, Kind: deathstarbench.Slowdown, Factor: factor,
				At: tenths(at), Until: tenths(at + 0.9*each),
			})
		}
	}
}
