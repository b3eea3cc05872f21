package worlds

import (
	"fmt"
	"math"
	"slices"
	"time"

	"trimtab/deathstarbench"
)

// machines are the servers of a world before they are told what to serve.
type machines struct {
	slots []int
	slow  []float64 // factor of the service times
	cv    []float64
}

// drawMachines draws n servers of a kind with the given slots.
func (d dice) drawMachines(n int, kind string, slots int) machines {
	m := machines{slots: slices.Repeat([]int{slots}, n), slow: slices.Repeat([]float64{1}, n)}
	cv := d.between(0.1, 1.7)
	switch p := d.Float64(); {
	case p < 0.1:
		cv = 0
	case p < 0.2:
		cv = d.between(1.7, 2.5)
	}
	m.cv = slices.Repeat([]float64{significant(cv)}, n)
	switch kind {
	case "two-generations":
		share, faster := d.between(0.2, 0.8), d.between(0.5, 0.85)
		for i := range n {
			if d.chance(share) {
				m.slots[i], m.slow[i] = 2*slots, faster
			}
		}
	case "spread":
		for i := range n {
			m.slots[i] = min(128, max(1, int(math.Round(float64(slots)*d.scale(0.3, 3.3)))))
			m.slow[i] = d.scale(0.5, 2)
		}
	case "noisy":
		slower, wilder := d.between(1.2, 2.5), significant(d.between(max(cv, 0.8), 2.5))
		for _, i := range d.some(max(1, n/3), n) {
			m.slow[i], m.cv[i] = slower, wilder
		}
	}
	return m
}

// drawClasses draws 1 to 3 workloads.
func (d dice) drawClasses() []string {
	all := deathstarbench.Workloads()
	n := pick(d, 1, 1, 2, 2, 3)
	chosen := d.some(n, len(all))
	slices.Sort(chosen)
	out := make([]string, n)
	for i, c := range chosen {
		out[i] = all[c]
	}
	return out
}

// drawMembers draws which servers each class has: all, some of them, or its own ("none" are shared).
func (d dice) drawMembers(classes, n int, sharing string) [][]int {
	out := make([][]int, classes)
	switch sharing {
	case "none":
		for i, server := range d.Perm(n) {
			class := i % classes
			if i >= 2*classes { // two servers at least, so that there is something to balance
				class = d.IntN(classes)
			}
			out[class] = append(out[class], server)
		}
	case "some":
		for server := range n {
			for {
				got := false
				for class := range out {
					if d.chance(0.7) {
						out[class], got = append(out[class], server), true
					}
				}
				if got {
					break
				}
			}
		}
		for class := range out {
			for _, server := range d.Perm(n) {
				if len(out[class]) < 2 && !slices.Contains(out[class], server) {
					out[class] = append(out[class], server)
				}
			}
		}
	default:
		for class := range out {
			for server := range n {
				out[class] = append(out[class], server)
			}
		}
	}
	for class := range out {
		slices.Sort(out[class])
	}
	return out
}

// meanTime gives the mean service time of a class on a server in ms.
type meanTime func(class, server int) float64

// serve makes the servers and groups of the scenario.
func serve(s *deathstarbench.Scenario, m machines, classes []string, members [][]int, mean meanTime) {
	for i := range m.slots {
		s.Servers = append(s.Servers, deathstarbench.Server{
			Name: fmt.Sprintf("s%d", i), Slots: m.slots[i], ServiceCV: m.cv[i],
			Service: map[string]deathstarbench.Duration{}, QueueLimit: deathstarbench.DefaultQueueLimit,
		})
	}
	for c, class := range classes {
		u := deathstarbench.Upstream{
			Name: groupName(class), Workload: class, Method: deathstarbench.RoundRobin, Priority: 1,
		}
		for _, i := range members[c] {
			s.Servers[i].Service[class] = milliseconds(mean(c, i))
			u.Servers = append(u.Servers, s.Servers[i].Name)
			u.Weights = append(u.Weights, 1)
		}
		s.Upstreams = append(s.Upstreams, u)
	}
}

// drawRegions gives every server the network delay of its region, and with more than one class sometimes each class
// clients in a region of its own.
func (d dice) drawRegions(s *deathstarbench.Scenario) {
	regions := 2 + d.IntN(2)
	delay := make([]float64, regions)
	for i := range delay {
		delay[i] = d.scale(0.3, 60)
	}
	far := map[string][]float64{}
	if len(s.Upstreams) > 1 && d.chance(1.0/3) {
		for _, u := range s.Upstreams {
			for range regions {
				far[u.Workload] = append(far[u.Workload], d.scale(0.3, 60))
			}
		}
	}
	for i := range s.Servers {
		v := &s.Servers[i]
		region := d.IntN(regions)
		if len(far) == 0 {
			v.NetworkDelay = milliseconds(delay[region])
			continue
		}
		v.Distance = map[string]deathstarbench.Duration{}
		for class := range v.Service {
			v.Distance[class] = milliseconds(far[class][region])
		}
	}
}

// capacities are the requests per second that each server of a group takes of its class alone.
func capacities(s *deathstarbench.Scenario, u *deathstarbench.Upstream) []float64 {
	out := make([]float64, len(u.Servers))
	for i, name := range u.Servers {
		v := s.Server(name)
		out[i] = float64(v.Slots) / v.Service[u.Workload].Std().Seconds()
	}
	return out
}

// largestWeight is the largest weight of those a world starts with.
const largestWeight = 20

// whole are whole weights in proportion to x, the largest being largestWeight, without a common divisor.
func whole(x []float64) []int {
	top, divisor := slices.Max(x), 0
	out := make([]int, len(x))
	for i := range x {
		out[i] = max(1, int(math.Round(largestWeight*x[i]/top)))
		divisor = gcd(out[i], divisor)
	}
	for i := range out {
		out[i] /= divisor
	}
	return out
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// drawStart sets the weights that a run starts from.
func (d dice) drawStart(s *deathstarbench.Scenario, start string) {
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		right := whole(capacities(s, u))
		switch start {
		case "right":
			u.Weights = right
		case "wrong":
			switch d.IntN(3) {
			case 0:
				for j := range u.Weights {
					u.Weights[j] = int(math.Round(d.scale(1, largestWeight)))
				}
			case 1: // the slow ones get most
				x := capacities(s, u)
				for j := range x {
					x[j] = 1 / x[j]
				}
				u.Weights = whole(x)
			default:
				d.Shuffle(len(right), func(a, b int) { right[a], right[b] = right[b], right[a] })
				u.Weights = right
			}
		}
	}
}

// drawDeadlines gives every group a deadline of 2 to 5 mean times of its servers, weighted by their capacity.
func (d dice) drawDeadlines(s *deathstarbench.Scenario) {
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		sum, total := 0.0, 0.0
		for j, c := range capacities(s, u) {
			v := s.Server(u.Servers[j])
			total += c
			sum += c * (v.Service[u.Workload].Std() + v.Delay(u.Workload)).Seconds()
		}
		u.Deadline = milliseconds(d.between(2, 5) * sum / total * float64(time.Second/time.Millisecond))
	}
}
