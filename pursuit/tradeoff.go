package pursuit

import (
	"time"

	"trimtab/objective"
)

// Point is one point of a trade-off: what the best setting gives with the bounds of an objective times a factor, and so
// many units.
type Point struct {
	Factor   float64 // of all bounds and knees
	Units    int     // of every server that is scaled; 0: as the objective likes it
	Offered  float64 // requests per second, all services
	Carried  float64
	Capacity float64 // units in use
	Reward   float64
	Held     float64 // the least share of the intervals in which a bound held
}

// TradeOff works out how bounds, carried load and capacity depend on each other in a world: for every factor of the
// bounds, and for every number of units that scaling allows beside what the objective would choose.
func TradeOff(w World, spec objective.Spec, factors []float64, opt Options) ([]Point, error) {
	units := []int{0}
	for j := range w.Servers {
		if l := w.Servers[j].Scaling; l.On() {
			units = append(units, l.Units()...)
			break
		}
	}
	var out []Point
	for _, n := range units {
		at := w
		at.Servers = make([]Server, len(w.Servers))
		copy(at.Servers, w.Servers)
		for j := range at.Servers {
			if l := &at.Servers[j].Scaling; l.On() && n > 0 {
				l.Min, l.Max = min(max(n, l.Min), l.Max), min(max(n, l.Min), l.Max)
			}
		}
		for _, f := range factors {
			o, err := objective.New(scaled(spec, f))
			if err != nil {
				return nil, err
			}
			found, err := Search([]World{at}, o, opt)
			if err != nil {
				return nil, err
			}
			p := Point{Factor: f, Units: n, Capacity: found.Value.Mean.Capacity, Reward: found.Value.Reward, Held: 1}
			for k, s := range found.Value.Mean.Services {
				p.Offered += s.OfferedPerSec
				p.Carried += s.CarriedPerSec
				p.Held = min(p.Held, found.Value.Held[k])
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// scaled is a specification with all bounds times f.
func scaled(s objective.Spec, f float64) objective.Spec {
	out := s
	out.Upstreams = make(map[string]objective.Terms, len(s.Upstreams))
	for name, t := range s.Upstreams {
		t.Bound = time.Duration(f * float64(t.Bound))
		t.Knee = time.Duration(f * float64(t.Knee))
		out.Upstreams[name] = t
	}
	return out
}
