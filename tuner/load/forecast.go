package load

import (
	"math"
	"slices"
)

// Forecast knows the regimes of load by what they ask for, how long they last, and which follows which:
//
//	P(s' within h | s, a) = P(s'|s) · (F(a+h) − F(a)) / (1 − F(a)),
//
// where a is how long the present regime s has lasted, F the lognormal distribution of how long it does, and P(s'|s)
// counts transitions, smoothed by how often s' comes at all. Components of the mixture that ask for nearly the same
// are one regime here: a demand. It is used by one goroutine.
type Forecast struct {
	groups  []string
	parts   []part
	demands []Demand
	largest []float64 // by group: the most that any regime asks for, per second
	ids     int       // given to demands so far

	now   int     // −1: none yet
	age   float64 // s that it has lasted
	next  int     // one that has begun and is not confirmed; −1: none
	begun float64 // s that next has lasted
	odd   float64 // s of load in a row that no regime explains
}

// part is one component of the mixture.
type part struct {
	demand int // −1: not seen long enough
	sec    float64
	rates  []float64
}

// Demand is one regime by what it asks for.
type Demand struct {
	ID         int       `json:"id"` // stays the same when regimes are fitted anew
	RatePerSec []float64 `json:"rate_per_s"`
	Sec        float64   `json:"s"`          // time behind the rates
	Visits     float64   `json:"visits"`     // whose length is known
	LogLength  float64   `json:"log_length"` // mean logarithm of how long a visit lasts, s
	LogSquare  float64   `json:"log_square"` // its mean square
	Next       []float64 `json:"next"`       // by demand: how often it followed
}

// Likely is a regime that may follow, by its place among the demands.
type Likely struct {
	Demand      int     `json:"demand"`
	Probability float64 `json:"probability"`
}

// interval is what one interval showed.
type interval struct {
	component int // of the mixture; −1: unknown
	sec       float64
	rates     []float64 // requests per second by group
}

const (
	sameRates    = 0.12 // of the most that a group ever gets: up to it, rates are the same regime's
	demandMemory = 3600 // s of a regime over which its rates are averaged
	partSec      = 30   // s after which a component is known to ask for what it does
	confirmSec   = 15   // s that a regime must last to be a visit: what ends sooner is a burst
	lengthSD     = 0.3  // log: how different visits of a regime are in length before any was seen
	lengthVisits = 1.0  // visits that this counts as
	lengthLeast  = 0.03 // log: no forecast is surer of a length
	unseen       = 0.3  // transitions that smooth those counted
)

// NewForecast knows nothing yet of the components of a mixture.
func NewForecast(groups []string, components int) *Forecast {
	f := &Forecast{groups: groups, parts: make([]part, components), now: -1, next: -1}
	f.largest = make([]float64, len(groups))
	for i := range f.parts {
		f.parts[i] = part{demand: -1, rates: make([]float64, len(groups))}
	}
	return f
}

// Groups are the upstream groups, in the order of all rates.
func (f *Forecast) Groups() []string { return f.groups }

// Demands are the regimes by what they ask for.
func (f *Forecast) Demands() []Demand { return f.demands }

// Now is the present regime and for how long it has lasted, in seconds; −1: none is known, or the load is like none.
func (f *Forecast) Now() (demand int, sec float64) {
	switch {
	case f.odd >= confirmSec:
		return -1, f.odd
	case f.next >= 0:
		return f.next, f.begun
	}
	return f.now, f.age
}

// Observe takes in an interval.
func (f *Forecast) Observe(iv interval) {
	if iv.component < 0 {
		f.step(-1, iv)
		return
	}
	p := &f.parts[iv.component]
	average(p.rates, &p.sec, iv)
	if p.demand < 0 && p.sec >= partSec {
		p.demand = f.like(p.rates)
	}
	f.step(p.demand, iv)
}

// replay learns the past at once, in which all components are known from the beginning.
func (f *Forecast) replay(past []interval) {
	for _, iv := range past {
		if iv.component >= 0 {
			p := &f.parts[iv.component]
			average(p.rates, &p.sec, iv)
		}
	}
	for _, p := range f.parts {
		f.widen(p.rates)
	}
	// The most usual first, so that what is rare joins it.
	order := make([]int, len(f.parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case f.parts[a].sec > f.parts[b].sec:
			return -1
		case f.parts[a].sec < f.parts[b].sec:
			return 1
		}
		return 0
	})
	for _, i := range order {
		if f.parts[i].sec > 0 {
			f.parts[i].demand = f.like(f.parts[i].rates)
		}
	}
	for _, iv := range past {
		demand := -1
		if iv.component >= 0 {
			demand = f.parts[iv.component].demand
		}
		f.step(demand, iv)
	}
}

// average moves rates towards those of an interval.
func average(rates []float64, sec *float64, iv interval) {
	*sec = math.Min(*sec+iv.sec, math.Max(demandMemory, iv.sec))
	for g := range rates {
		rates[g] += iv.sec / *sec * (iv.rates[g] - rates[g])
	}
}

func (f *Forecast) widen(rates []float64) {
	for g, r := range rates {
		f.largest[g] = math.Max(f.largest[g], r)
	}
}

// distance is how different rates are, in units of the most that each group gets.
func (f *Forecast) distance(a, b []float64) float64 {
	most := 0.0
	for g := range a {
		if f.largest[g] > 0 {
			most = math.Max(most, math.Abs(a[g]-b[g])/f.largest[g])
		}
	}
	return most
}

// like is the demand with such rates, a new one when there is none.
func (f *Forecast) like(rates []float64) int {
	f.widen(rates)
	best, least := -1, sameRates
	for i := range f.demands {
		if d := f.distance(f.demands[i].RatePerSec, rates); d <= least {
			best, least = i, d
		}
	}
	if best >= 0 {
		return best
	}
	f.demands = append(f.demands, Demand{ID: f.ids, RatePerSec: slices.Clone(rates)})
	f.ids++
	for i := range f.demands {
		f.demands[i].Next = append(f.demands[i].Next, make([]float64, len(f.demands)-len(f.demands[i].Next))...)
	}
	return len(f.demands) - 1
}

// step follows visits: what begins is one when it has lasted.
func (f *Forecast) step(demand int, iv interval) {
	if demand < 0 {
		f.odd += iv.sec
		f.age += iv.sec
		return
	}
	f.odd = 0
	average(f.demands[demand].RatePerSec, &f.demands[demand].Sec, iv)
	switch {
	case f.now < 0:
		f.now, f.age = demand, iv.sec
	case demand == f.now:
		f.age += f.begun + iv.sec
		f.next, f.begun = -1, 0
	case demand != f.next:
		f.age += f.begun
		f.next, f.begun = demand, iv.sec
	default:
		f.begun += iv.sec
	}
	if f.next < 0 || f.begun < confirmSec {
		return
	}
	d := &f.demands[f.now]
	// The first visit was not seen to begin, but is better than nothing known.
	length := math.Log(math.Max(f.age, iv.sec))
	d.Visits++
	gain := math.Max(1/d.Visits, visitGain)
	d.LogLength += gain * (length - d.LogLength)
	d.LogSquare += gain * (length*length - d.LogSquare)
	d.Next[f.next]++
	f.now, f.age, f.next, f.begun = f.next, f.begun, -1, 0
}

const visitGain = 0.1 // least weight of a visit in the mean of all lengths

// Within returns the probabilities of the regimes that may follow within so many seconds, and that of none. Known
// tells that at least one visit of the present regime was seen to end.
func (f *Forecast) Within(sec float64) (likely []Likely, stays float64, known bool) {
	now, age := f.Now()
	if now < 0 {
		return nil, 1, false
	}
	d := &f.demands[now]
	if d.Visits == 0 {
		return nil, 1, false
	}
	sum := d.Visits*math.Max(0, d.LogSquare-d.LogLength*d.LogLength) + lengthVisits*lengthSD*lengthSD
	sd := math.Max(math.Sqrt(sum/(d.Visits+lengthVisits)), lengthLeast)
	survives := func(t float64) float64 { return math.Erfc((math.Log(t)-d.LogLength)/sd/math.Sqrt2) / 2 }
	change := changeMost
	if s := survives(age); s > 1e-6 {
		change = math.Min(changeMost, 1-survives(age+sec)/s)
	}
	total, all := 0.0, 0.0
	for i := range f.demands {
		if i != now {
			all += f.demands[i].Sec
		}
	}
	p := make([]float64, len(f.demands))
	for i := range f.demands {
		if i != now && all > 0 {
			p[i] = d.Next[i] + unseen*f.demands[i].Sec/all
			total += p[i]
		}
	}
	if total == 0 {
		return nil, 1, false
	}
	for i := range p {
		if p[i] > 0 {
			likely = append(likely, Likely{Demand: i, Probability: change * p[i] / total})
		}
	}
	return likely, 1 - change, true
}

// changeMost is the most that a change of regime is expected: that it is overdue may mean that it does not come.
const changeMost = 0.9

// inherit gives demands that ask for what those of an older forecast asked for their identity.
func (f *Forecast) inherit(old *Forecast) {
	if !slices.Equal(f.groups, old.groups) { // nothing is the same
		for i := range f.demands {
			f.demands[i].ID += old.ids
		}
		f.ids += old.ids
		return
	}
	taken := map[int]bool{}
	f.ids = max(f.ids, old.ids)
	for i := range f.demands {
		best, least := -1, sameRates
		for j := range old.demands {
			if d := f.distance(f.demands[i].RatePerSec, old.demands[j].RatePerSec); d <= least && !taken[j] {
				best, least = j, d
			}
		}
		if best >= 0 {
			taken[best] = true
			f.demands[i].ID = old.demands[best].ID
			continue
		}
		f.demands[i].ID = f.ids
		f.ids++
	}
}
