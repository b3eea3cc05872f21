package worlds

import (
	"fmt"
	"math"
	"time"

	"trimtab/deathstarbench"
)

// course is how busy a class of requests is over time, 1 at its busiest: level[i] from at[i] s on.
type course struct{ at, level []float64 }

func (c *course) add(at, level float64) {
	c.at, c.level = append(c.at, at), append(c.level, level)
}

// drawCourse draws a course of a kind over so many seconds.
func (d dice) drawCourse(kind string, duration float64) course {
	var c course
	switch kind {
	case "steps":
		length := d.between(25, 80)
		busiest := d.IntN(int(duration / length))
		for i := 0; float64(i)*length < duration-5; i++ {
			level := d.between(0.3, 1)
			if i == busiest {
				level = 1
			}
			c.add(math.Round(float64(i)*length), level)
		}
	case "sine":
		period, depth, phase := d.between(60, duration), d.between(0.3, 0.8), d.between(0, 2*math.Pi)
		for t := 0.0; t < duration; t += 10 {
			c.add(t, 1-depth/2+depth/2*math.Sin(2*math.Pi*t/period+phase))
		}
	case "night":
		dusk := math.Round(d.between(30, 0.3*duration))
		dawn := dusk + math.Round(d.between(50, 0.4*duration))
		c.add(0, d.between(0.5, 1))
		c.add(dusk, d.between(0.01, 0.1))
		if d.chance(0.6) { // the morning comes in steps
			c.add(dawn, d.between(0.2, 0.5))
			c.add(dawn+15, d.between(0.5, 0.9))
			dawn += 30
		}
		c.add(dawn, 1)
	case "flash":
		usual := d.between(0.2, 0.6)
		from := math.Round(d.between(60, 0.6*duration))
		to := from + math.Round(d.between(15, 80))
		c.add(0, usual)
		c.add(from, (1+usual)/2)
		c.add(from+1, 1)
		c.add(to, (1+usual)/2)
		c.add(to+10, usual)
	default:
		c.add(0, 1)
	}
	return c
}

// drawMix draws the courses of so many classes whose mix changes: one class is busy, another one in every step (mix),
// or each is busy and silent in turns of its own (bursts).
func (d dice) drawMix(kind string, classes int, duration float64) []course {
	out := make([]course, classes)
	if kind == "bursts" {
		for c := range out {
			for t := 0.0; t < duration-5; {
				out[c].add(t, d.between(0.5, 1))
				t += math.Round(d.between(30, 90))
				out[c].add(min(t, duration-1), 0)
				t += math.Round(d.between(5, 20))
			}
		}
		return out
	}
	length := math.Round(d.between(25, 80))
	for t, busy := 0.0, d.IntN(classes); t < duration-5; t += length {
		for c := range out {
			level := 1.0
			if c != busy {
				level = d.between(0.1, 0.6)
			}
			out[c].add(t, level)
		}
		busy = (busy + 1 + d.IntN(classes-1)) % classes
	}
	return out
}

// phases turns a course into phases of a rate.
func (c course) phases(rate float64) []deathstarbench.Phase {
	out := make([]deathstarbench.Phase, len(c.at))
	for i := range out {
		out[i] = deathstarbench.Phase{At: tenths(c.at[i]), Rate: rate * c.level[i]}
	}
	return out
}

// shares draws how the work is shared by the classes: positive, sum 1.
func (d dice) shares(n int) []float64 {
	out, sum := make([]float64, n), 0.0
	for i := range out {
		out[i] = 0.15 + d.ExpFloat64()
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// unitRate is the rate of a class that would need all slots of its servers.
func unitRate(s *deathstarbench.Scenario, u *deathstarbench.Upstream) float64 {
	sum := 0.0
	for _, c := range capacities(s, u) {
		sum += c
	}
	return sum
}

// fit multiplies all rates so that the busiest instant asks for the level, and rounds them.
func fit(s *deathstarbench.Scenario, level float64) error {
	peak, err := s.Peak()
	if err != nil {
		return fmt.Errorf("fit the load: %w", err)
	}
	each(s, func(rate float64) float64 { return rate * level / peak.Best })
	return nil
}

// each replaces every rate, rounded to three significant digits.
func each(s *deathstarbench.Scenario, change func(float64) float64) {
	for i := range s.Loads {
		for j := range s.Loads[i].Phases {
			p := &s.Loads[i].Phases[j]
			p.Rate = significant(change(p.Rate))
		}
	}
}

// meanRate is the mean rate of all requests, per second.
func meanRate(s *deathstarbench.Scenario) float64 {
	sum := 0.0
	for i := range s.Loads {
		phases := s.Loads[i].Phases
		for j, p := range phases {
			end := s.Duration
			if j+1 < len(phases) {
				end = phases[j+1].At
			}
			sum += p.Rate * (end - p.At).Std().Seconds()
		}
	}
	return sum / s.Duration.Std().Seconds()
}

// hasten makes every service shorter and every rate higher by the factor, or the other way: utilisations stay.
func hasten(s *deathstarbench.Scenario, factor float64) {
	for i := range s.Servers {
		for class, mean := range s.Servers[i].Service {
			s.Servers[i].Service[class] = milliseconds(mean.Std().Seconds() * 1e3 / factor)
		}
	}
	each(s, func(rate float64) float64 { return rate * factor })
}

func seconds(s float64) deathstarbench.Duration {
	return deathstarbench.Duration(s * float64(time.Second))
}
