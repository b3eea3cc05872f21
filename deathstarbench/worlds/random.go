package worlds

import (
	"fmt"
	"math"

	"trimtab/deathstarbench"
)

// What the levels and rates of random worlds lie between: of all slots at the busiest instant, and requests per second
// in the mean.
const (
	LowestLevel, HighestLevel = 0.25, 0.92
	lowestRate, highestRate   = 15, 2200
)

// kindsOfFaults are the kinds of trouble a random world has: those of scenario files, with pauses that recur.
func kindsOfFaults() []string {
	return []string{"none", "none", "gc", deathstarbench.Slowdown, deathstarbench.Capacity, deathstarbench.Down,
		deathstarbench.Error, deathstarbench.NetworkDelay, deathstarbench.Hang, deathstarbench.Shed}
}

// Random returns the random world of the seed.
func Random(seed uint64) *World {
	d := newDice(seed, streamRandom)
	duration := pick(d, 240.0, 300, 300, 360)
	s := &deathstarbench.Scenario{
		Name: fmt.Sprintf("random-%d", seed), Duration: seconds(duration), Warmup: seconds(30),
		ControlInterval: seconds(pick(d, 2.0, 3, 3)), Timeout: deathstarbench.Duration(deathstarbench.DefaultTimeout),
	}
	n := int(d.scale(2, 25))
	kind := pick(d, "uniform", "two-generations", "spread", "noisy")
	classes := d.drawClasses()
	sharing := pick(d, "all", "some", "none")
	if len(classes) == 1 || sharing == "none" && n < 2*len(classes) {
		sharing = "all"
	}
	byServer := len(classes) > 1 && d.chance(0.4)
	m := d.drawMachines(n, kind, pick(d, 1, 2, 2, 4, 4, 8, 16, 32))
	d.drawServices(s, m, classes, sharing, byServer)
	regions := d.chance(0.3)
	if regions {
		d.drawRegions(s)
	}
	limit := pick(d, 20, 64, 256, 1024, deathstarbench.DefaultQueueLimit, deathstarbench.DefaultQueueLimit)
	for i := range s.Servers {
		s.Servers[i].QueueLimit = limit
	}
	level := d.between(LowestLevel, HighestLevel)
	load, arrivals := d.drawLoads(s, duration, level, newDice(seed, streamMix))
	start := pick(d, "equal", "right", "wrong")
	d.drawStart(s, start)
	deadlines := d.chance(0.6)
	if deadlines {
		d.drawDeadlines(s)
	}
	for i := range s.Upstreams {
		s.Upstreams[i].Priority = pick(d, 1.0, 1, 1, 2, 4)
	}
	fault := pick(d, kindsOfFaults()...)
	d.drawFaults(s, fault, duration)
	return &World{Scenario: s, Seed: seed, About: facts{
		"arrivals": arrivals, "by_server": byServer, "cv": m.cv[0], "deadlines": deadlines, "fault": fault,
		"groups": len(classes), "kind": kind, "level": math.Round(level*1e3) / 1e3, "load": load, "regions": regions,
		"servers": n, "sharing": sharing, "start": start,
	}.String()}
}

// drawServices draws who serves what, and how fast.
func (d dice) drawServices(s *deathstarbench.Scenario, m machines, classes []string, sharing string, byServer bool) {
	base, speed := make([]float64, len(classes)), make([][]float64, len(classes))
	first := d.scale(4, 250)
	for c := range classes {
		base[c] = first * d.scale(0.3, 3)
		speed[c] = make([]float64, len(m.slots))
		for i := range speed[c] {
			speed[c][i] = 1
			if byServer {
				speed[c][i] = d.scale(0.5, 2)
			}
		}
	}
	members := d.drawMembers(len(classes), len(m.slots), sharing)
	serve(s, m, classes, members, func(class, server int) float64 {
		return base[class] * m.slow[server] * speed[class][server]
	})
}

// drawLoads draws the load of every group, fits it to the level and keeps the rate within bounds. It returns the kind
// of its course and of its arrivals. In some worlds of several groups the mix of the classes changes.
func (d dice) drawLoads(s *deathstarbench.Scenario, duration, level float64, mix dice) (load, arrivals string) {
	load = pick(d, "constant", "steps", "sine", "night", "flash")
	arrivals = pick(d, "exp", "exp", "exp", "norm", "norm", "zipf", "fixed")
	common, own := d.drawCourse(load, duration), d.chance(0.4)
	kind, mixed := load, []course(nil)
	if len(s.Upstreams) > 1 && mix.chance(0.3) {
		load = pick(mix, "mix", "bursts")
		mixed = mix.drawMix(load, len(s.Upstreams), duration)
	}
	for c, share := range d.shares(len(s.Upstreams)) {
		u := &s.Upstreams[c]
		course, arrival := common, arrivals
		if c > 0 && own {
			course, arrival = d.drawCourse(kind, duration), pick(d, arrivals, "exp")
		}
		if mixed != nil {
			course = mixed[c]
		}
		s.Loads = append(s.Loads, deathstarbench.Traffic{
			Workload: u.Workload, Arrival: arrival, Phases: course.phases(share * unitRate(s, u)),
		})
	}
	if err := fit(s, level); err != nil {
		panic("worlds: " + err.Error()) // the linear program of a valid scenario has a solution
	}
	slow, fast := lowestRate*d.scale(1, 3), highestRate*d.between(0.5, 1)
	switch rate := meanRate(s); {
	case rate < slow:
		hasten(s, slow/rate)
	case rate > fast:
		hasten(s, fast/rate)
	}
	return load, arrivals
}
