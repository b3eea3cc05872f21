package load

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Forecast knows the regimes of load by what they ask for, how long they last, and which follows which:
//
//	P(s' within h | s, a) = P(s'|s) · (F(a+h) − F(a)) / (1 − F(a)),
//
// where a is how long the present regime s has lasted, F the lognormal distribution of how long it does, and P(s'|s)
// counts transitions, smoothed by how often s' comes at all. Components of the mixture that ask for nearly the same
// are one regime here: a demand. It is used by one goroutine, and kept in a file as it is.
type Forecast struct {
	Groups     []string    `json:"groups"` // in the order of all rates
	Components []Component `json:"components"`
	Demands    []Demand    `json:"demands"`
	IDs        int         `json:"ids"` // given to demands so far
	Visit      Visit       `json:"visit"`
	Largest    []float64   `json:"largest_per_s"` // by group: the most that any regime asks for
}

// Component is what was learned of one component of the mixture.
type Component struct {
	Demand     int       `json:"demand"` // −1: not seen long enough
	Sec        float64   `json:"s"`
	RatePerSec []float64 `json:"rate_per_s"`
}

// Visit is where the load stands among the demands.
type Visit struct {
	Now        int     `json:"demand"` // −1: none yet
	Sec        float64 `json:"s"`      // that it has lasted
	Next       int     `json:"next"`   // one that has begun and is not confirmed; −1: none
	NextSec    float64 `json:"next_s"`
	UnknownSec float64 `json:"unknown_s"` // of load in a row that no regime explains
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
	Demand      int
	Probability float64
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
	componentSec = 30   // s after which a component is known to ask for what it does
	confirmSec   = 15   // s that a regime must last to be a visit: what ends sooner is a burst
	lengthSD     = 0.3  // log: how different visits of a regime are in length before any was seen
	lengthVisits = 1.0  // visits that this counts as
	lengthLeast  = 0.03 // log: no forecast is surer of a length
	unseen       = 0.3  // transitions that smooth those counted
)

// NewForecast knows nothing yet of the components of a mixture.
func NewForecast(groups []string, components int) *Forecast {
	f := &Forecast{Groups: groups, Components: make([]Component, components), Visit: Visit{Now: -1, Next: -1},
		Largest: make([]float64, len(groups))}
	for i := range f.Components {
		f.Components[i] = Component{Demand: -1, RatePerSec: make([]float64, len(groups))}
	}
	return f
}

// Now is the present regime and for how long it has lasted, in seconds; −1: none is known, or the load is like none. A
// nil forecast knows none.
func (f *Forecast) Now() (demand int, sec float64) {
	if f == nil {
		return -1, 0
	}
	switch v := &f.Visit; {
	case v.UnknownSec >= confirmSec:
		return -1, v.UnknownSec
	case v.Next >= 0:
		return v.Next, v.NextSec
	default:
		return v.Now, v.Sec
	}
}

// Observe takes in an interval.
func (f *Forecast) Observe(iv interval) {
	if iv.component < 0 {
		f.step(-1, iv)
		return
	}
	c := &f.Components[iv.component]
	average(c.RatePerSec, &c.Sec, iv)
	if c.Demand < 0 && c.Sec >= componentSec {
		c.Demand = f.like(c.RatePerSec)
	}
	f.step(c.Demand, iv)
}

// replay learns the past at once, in which all components are known from the beginning.
func (f *Forecast) replay(past []interval) {
	for _, iv := range past {
		if iv.component >= 0 {
			c := &f.Components[iv.component]
			average(c.RatePerSec, &c.Sec, iv)
		}
	}
	order := make([]*Component, len(f.Components))
	for i := range f.Components {
		order[i] = &f.Components[i]
		f.widen(order[i].RatePerSec)
	}
	// The most usual first, so that what is rare joins it.
	slices.SortStableFunc(order, func(a, b *Component) int { return cmp.Compare(b.Sec, a.Sec) })
	for _, c := range order {
		if c.Sec > 0 {
			c.Demand = f.like(c.RatePerSec)
		}
	}
	for _, iv := range past {
		demand := -1
		if iv.component >= 0 {
			demand = f.Components[iv.component].Demand
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
		f.Largest[g] = math.Max(f.Largest[g], r)
	}
}

// distance is how different rates are, in units of the most that each group gets.
func (f *Forecast) distance(a, b []float64) float64 {
	most := 0.0
	for g := range a {
		if f.Largest[g] > 0 {
			most = math.Max(most, math.Abs(a[g]-b[g])/f.Largest[g])
		}
	}
	return most
}

// like is the demand with such rates, a new one when there is none.
func (f *Forecast) like(rates []float64) int {
	f.widen(rates)
	best, least := -1, sameRates
	for i := range f.Demands {
		if d := f.distance(f.Demands[i].RatePerSec, rates); d <= least {
			best, least = i, d
		}
	}
	if best >= 0 {
		return best
	}
	f.Demands = append(f.Demands, Demand{ID: f.IDs, RatePerSec: slices.Clone(rates)})
	f.IDs++
	for i := range f.Demands {
		f.Demands[i].Next = append(f.Demands[i].Next, make([]float64, len(f.Demands)-len(f.Demands[i].Next))...)
	}
	return len(f.Demands) - 1
}

// step follows visits: what begins is one when it has lasted.
func (f *Forecast) step(demand int, iv interval) {
	v := &f.Visit
	if demand < 0 {
		v.UnknownSec += iv.sec
		v.Sec += iv.sec
		return
	}
	v.UnknownSec = 0
	average(f.Demands[demand].RatePerSec, &f.Demands[demand].Sec, iv)
	switch {
	case v.Now < 0:
		v.Now, v.Sec = demand, iv.sec
	case demand == v.Now:
		v.Sec += v.NextSec + iv.sec
		v.Next, v.NextSec = -1, 0
	case demand != v.Next:
		v.Sec += v.NextSec
		v.Next, v.NextSec = demand, iv.sec
	default:
		v.NextSec += iv.sec
	}
	if v.Next < 0 || v.NextSec < confirmSec {
		return
	}
	d := &f.Demands[v.Now]
	// The first visit was not seen to begin, but is better than nothing known.
	length := math.Log(math.Max(v.Sec, iv.sec))
	d.Visits++
	gain := math.Max(1/d.Visits, visitGain)
	d.LogLength += gain * (length - d.LogLength)
	d.LogSquare += gain * (length*length - d.LogSquare)
	d.Next[v.Next]++
	*v = Visit{Now: v.Next, Sec: v.NextSec, Next: -1}
}

const visitGain = 0.1 // least weight of a visit in the mean of all lengths

// Within returns the probabilities of the regimes that may follow within so many seconds, and that of none. Known
// tells that at least one visit of the present regime was seen to end.
func (f *Forecast) Within(sec float64) (likely []Likely, stays float64, known bool) {
	now, age := f.Now()
	if now < 0 {
		return nil, 1, false
	}
	d := &f.Demands[now]
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
	for i := range f.Demands {
		if i != now {
			all += f.Demands[i].Sec
		}
	}
	p := make([]float64, len(f.Demands))
	for i := range f.Demands {
		if i != now && all > 0 {
			p[i] = d.Next[i] + unseen*f.Demands[i].Sec/all
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
	if !slices.Equal(f.Groups, old.Groups) { // nothing is the same
		for i := range f.Demands {
			f.Demands[i].ID += old.IDs
		}
		f.IDs += old.IDs
		return
	}
	taken := map[int]bool{}
	f.IDs = max(f.IDs, old.IDs)
	for i := range f.Demands {
		best, least := -1, sameRates
		for j := range old.Demands {
			if d := f.distance(f.Demands[i].RatePerSec, old.Demands[j].RatePerSec); d <= least && !taken[j] {
				best, least = j, d
			}
		}
		if best >= 0 {
			taken[best] = true
			f.Demands[i].ID = old.Demands[best].ID
			continue
		}
		f.Demands[i].ID = f.IDs
		f.IDs++
	}
}

// Clone is a copy that shares nothing with what goes on to learn.
func (f *Forecast) Clone() *Forecast {
	out := *f
	out.Components, out.Demands, out.Largest = slices.Clone(f.Components), slices.Clone(f.Demands),
		slices.Clone(f.Largest)
	for i := range out.Components {
		c := &out.Components[i]
		c.RatePerSec = slices.Clone(c.RatePerSec)
	}
	for i := range out.Demands {
		d := &out.Demands[i]
		d.RatePerSec, d.Next = slices.Clone(d.RatePerSec), slices.Clone(d.Next)
	}
	return &out
}

// check reports what is wrong with a forecast that was read from a file, whose numbers are usable, for a mixture of so
// many components.
func (f *Forecast) check(groups []string, components int) error {
	if !slices.Equal(f.Groups, groups) || len(f.Largest) != len(groups) || len(f.Components) != components {
		return fmt.Errorf("forecast of %d groups and %d components: the model has %d and %d",
			len(f.Groups), len(f.Components), len(groups), components)
	}
	n := len(f.Demands)
	for i, c := range f.Components {
		if c.Demand < -1 || c.Demand >= n || len(c.RatePerSec) != len(groups) {
			return fmt.Errorf("forecast: component %d is not sound", i)
		}
	}
	for i, d := range f.Demands {
		if len(d.RatePerSec) != len(groups) || len(d.Next) != n {
			return fmt.Errorf("forecast: demand %d is not sound", i)
		}
	}
	if v := f.Visit; v.Now < -1 || v.Now >= n || v.Next < -1 || v.Next >= n || v.Now < 0 && v.Next >= 0 {
		return fmt.Errorf("forecast: the visit %+v is not sound", v)
	}
	return nil
}
