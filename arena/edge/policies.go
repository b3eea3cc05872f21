package edge

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Random places at random, and denies as often as it takes any one model.
type Random struct {
	rng     *rand.Rand
	choices []Place
}

// NewRandom returns the policy; the same seed, the same places.
func NewRandom(w *World, seed uint64) *Random {
	return &Random{rand.New(rand.NewPCG(seed, 0x72616e64)), w.Choices()}
}

// Place implements Policy.
func (p *Random) Place(*Request, []int) Place { return p.choices[p.rng.IntN(len(p.choices))] }

// Done implements Policy.
func (*Random) Done(*Outcome) {}

// RegionAware takes the nearest server with a free slot, the nearest of all when none is free, and there the fastest
// model that is accurate enough. It knows the matrix, the slots and what the models promise, and never denies.
type RegionAware struct{ w *World }

// NewRegionAware returns the policy.
func NewRegionAware(w *World) *RegionAware { return &RegionAware{w} }

// Place implements Policy.
func (p *RegionAware) Place(r *Request, inside []int) Place {
	order := make([]int, len(p.w.Servers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.w.delay(r, a), p.w.delay(r, b)) })
	best := order[0]
	for _, i := range order {
		if inside[i] < p.w.Servers[i].Slots {
			best = i
			break
		}
	}
	return Place{Server: best, Model: p.w.fastest(best, r.Accuracy)}
}

// Done implements Policy.
func (*RegionAware) Done(*Outcome) {}

// fastest is the fastest model of a server that is accurate enough, or its most accurate one.
func (w *World) fastest(server int, accuracy float64) int {
	best, most := -1, 0
	models := w.Servers[server].Models
	for j, m := range models {
		if m.Quality > models[most].Quality {
			most = j
		}
		if m.Quality >= accuracy && (best < 0 || m.Service < models[best].Service) {
			best = j
		}
	}
	if best < 0 {
		return most
	}
	return best
}

// Believer is Trimtab's way in this world: what is not known is measured, every place is predicted, and the one that is
// worth most is taken, less what it takes from others. Of the inventory it knows slots and accuracies; service times
// and delays are what it has measured.
//
//	P(timely) = Φ((within − delay·MB − wait − service) / sd),  wait = max(0, inside + 1 − slots)·mean service/slots
//	value     = worth expected − price(server)·service,  denying: 0
//
// The price of a second of a slot follows how often requests had to wait there lately: an idle slot costs nothing, one
// of a full server what a request in its place would have brought.
type Believer struct {
	w       *World
	service [][]mean // s, by server and model
	delay   [][]mean // s per MB, by region and server
	busy    []mean   // share of requests that found all slots taken, by server
	worth   mean     // of the answers lately
	mean    []mean   // service time by server, whatever the model
}

// mean is a moving average with a memory of so many values.
type mean struct{ n, v float64 }

func (m *mean) add(x, memory float64) {
	m.n = math.Min(m.n+1, memory)
	m.v += (x - m.v) / m.n
}

const (
	believerMemory = 200.0
	guessedService = 0.5 // s, before anything was measured
	guessedDelay   = 0.3 // s per MB
	// of the worth of an answer that a full server's time costs; 0.4 leaves servers idle, 0 overloads them at 1.6 times
	// the load
	priceShare = 0.1
)

// NewBeliever returns one that has measured nothing.
func NewBeliever(w *World) *Believer {
	b := &Believer{w: w, busy: make([]mean, len(w.Servers)), mean: make([]mean, len(w.Servers))}
	for _, s := range w.Servers {
		b.service = append(b.service, make([]mean, len(s.Models)))
	}
	for range w.Regions {
		b.delay = append(b.delay, make([]mean, len(w.Servers)))
	}
	return b
}

func known(m mean, guess float64) float64 {
	if m.n == 0 {
		return guess
	}
	return m.v
}

// Place implements Policy.
func (b *Believer) Place(r *Request, inside []int) Place {
	best, most := Place{Deny: true}, 0.0
	for i, s := range b.w.Servers {
		slots, of := float64(s.Slots), known(b.mean[i], guessedService)
		wait := math.Max(0, float64(inside[i]+1)-slots) * of / slots
		delay := known(b.delay[r.Region][i], guessedDelay) * r.MB
		price := priceShare * b.busy[i].v * known(b.worth, worthBoth) / of
		for j, m := range s.Models {
			service := known(b.service[i][j], of)
			sd := math.Sqrt(0.01 + 0.1*service*service + 0.2*wait*of)
			timely := 0.5 * math.Erfc(-(r.Within-delay-wait-service)/sd/math.Sqrt2)
			correct := m.Quality >= r.Accuracy
			value := timely*worth(true, correct) + (1-timely)*worth(false, correct) - price*service
			if value > most {
				best, most = Place{Server: i, Model: j}, value
			}
		}
	}
	if !best.Deny {
		full := 0.0
		if inside[best.Server] >= b.w.Servers[best.Server].Slots {
			full = 1
		}
		b.busy[best.Server].add(full, believerMemory/4)
	}
	return best
}

// Done implements Policy.
func (b *Believer) Done(o *Outcome) {
	timely, correct := b.w.judge(o)
	b.worth.add(worth(timely, correct), believerMemory)
	if o.Failed {
		return
	}
	i := o.Place.Server
	b.service[i][o.Place.Model].add(o.ServiceSec, believerMemory)
	b.mean[i].add(o.ServiceSec, believerMemory)
	if o.Request.MB > 0 {
		// What is not service is delay and wait: the least of what was seen lately is the delay.
		d := &b.delay[o.Request.Region][i]
		if x := (o.TotalSec - o.ServiceSec) / o.Request.MB; d.n == 0 || x < d.v {
			d.n, d.v = 1, math.Max(x, 0)
		} else {
			d.v += 0.01 * (x - d.v)
		}
	}
}
