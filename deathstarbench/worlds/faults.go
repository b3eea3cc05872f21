package worlds

import (
	"math"

	"trimtab/deathstarbench"
)

// drawFaults adds the faults of a kind to a scenario of so many seconds. At most a quarter of the servers have them,
// one at least; pauses are on half of them or on all.
func (d dice) drawFaults(s *deathstarbench.Scenario, kind string, duration float64) {
	if kind == "none" {
		return
	}
	if kind == "gc" {
		d.drawPauses(s, duration)
		return
	}
	few := d.some(1+d.IntN(max(1, len(s.Servers)/4)), len(s.Servers))
	for n, i := range few {
		v := &s.Servers[i]
		spells := pick(d, 1, 1, 2)
		if kind == deathstarbench.Down {
			spells = pick(d, 1, 1, 3) // three: it comes and goes
		}
		// Servers that go down do so one after the other: no group loses all of its servers at once.
		room := (duration - 40) / float64(len(few))
		from := 35 + room*float64(n)
		if kind != deathstarbench.Down {
			room, from = duration-40, 35
		}
		room /= float64(spells)
		f := d.drawFault(kind, v)
		for spell := range spells {
			length := min(d.between(10, 110), 0.8*room)
			if kind == deathstarbench.Down || kind == deathstarbench.Hang {
				length = min(d.between(5, 60), 0.8*room)
			}
			at := from + room*float64(spell) + d.between(0, room-length)
			f.At, f.Until = tenths(at), tenths(at+length)
			s.Faults = append(s.Faults, f)
		}
	}
	if kind == deathstarbench.Hang {
		s.Timeout = seconds(pick(d, 3.0, 5, 10))
	}
}

// drawFault draws what a fault of a kind does to a server.
func (d dice) drawFault(kind string, v *deathstarbench.Server) deathstarbench.Fault {
	f := deathstarbench.Fault{Server: v.Name, Kind: kind}
	switch kind {
	case deathstarbench.Slowdown:
		f.Factor = significant(d.scale(1.4, 8))
	case deathstarbench.Capacity:
		f.Slots = max(1, int(math.Round(float64(v.Slots)*d.between(0.2, 0.7))))
		if f.Slots >= v.Slots { // nothing to take away
			f = deathstarbench.Fault{Server: v.Name, Kind: deathstarbench.Slowdown,
				Factor: significant(d.between(1.5, 4))}
		}
	case deathstarbench.Error:
		f.Probability, f.Latency = pick(d, significant(d.between(0.05, 1)), 1), milliseconds(d.scale(0.5, 30))
	case deathstarbench.NetworkDelay:
		f.Delay = milliseconds(d.scale(8, 120))
	case deathstarbench.Hang:
		f.Probability = pick(d, significant(d.scale(0.02, 0.5)), significant(d.scale(0.02, 0.5)), 1)
	case deathstarbench.Shed:
		f.Probability, f.Latency = pick(d, significant(d.between(0.05, 1)), 1), milliseconds(d.between(0.5, 3))
	}
	return f
}

// drawPauses makes servers stand still for 1 to 3 s again and again, as garbage collection does.
func (d dice) drawPauses(s *deathstarbench.Scenario, duration float64) {
	period, all := d.between(20, 70), d.chance(0.5)
	for i := range s.Servers {
		if !all && i%2 == 1 {
			continue
		}
		for at := 31 + d.between(0, period); at < duration-4; at += period * d.between(0.9, 1.1) {
			f := deathstarbench.Fault{Server: s.Servers[i].Name, Kind: deathstarbench.Pause, At: tenths(at)}
			f.Until = f.At + tenths(d.between(1, 3))
			s.Faults = append(s.Faults, f)
		}
	}
}
