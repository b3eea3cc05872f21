package load

import (
	"fmt"
	"math"
	"slices"
)

// ForecastSnapshot is what a Forecast has learned, as plain data.
type ForecastSnapshot struct {
	Groups  []string       `json:"groups"`
	Parts   []PartSnapshot `json:"components"`
	Demands []Demand       `json:"demands"`
	IDs     int            `json:"ids"`
	Visit   *VisitSnapshot `json:"visit,omitempty"` // nil: nobody knows where the load stood
}

// VisitSnapshot is where the load stands among the demands.
type VisitSnapshot struct {
	Now        int     `json:"demand"` // −1: none yet
	Sec        float64 `json:"s"`      // that it has lasted
	Next       int     `json:"next"`   // one that has begun and is not confirmed; −1: none
	NextSec    float64 `json:"next_s"`
	UnknownSec float64 `json:"unknown_s"` // of load in a row that no regime explains
}

// PartSnapshot is what was learned of one component of the mixture.
type PartSnapshot struct {
	Demand     int       `json:"demand"` // −1: not seen long enough
	Sec        float64   `json:"s"`
	RatePerSec []float64 `json:"rate_per_s"`
}

// Snapshot returns what the forecast has learned and where the load stands.
func (f *Forecast) Snapshot() *ForecastSnapshot {
	s := &ForecastSnapshot{Groups: f.groups, IDs: f.ids,
		Visit: &VisitSnapshot{Now: f.now, Sec: f.age, Next: f.next, NextSec: f.begun, UnknownSec: f.odd}}
	for _, p := range f.parts {
		s.Parts = append(s.Parts, PartSnapshot{Demand: p.demand, Sec: p.sec, RatePerSec: slices.Clone(p.rates)})
	}
	for _, d := range f.demands {
		d.RatePerSec, d.Next = slices.Clone(d.RatePerSec), slices.Clone(d.Next)
		s.Demands = append(s.Demands, d)
	}
	return s
}

// check reports what is wrong with a snapshot for a mixture of so many components.
func (s *ForecastSnapshot) check(groups []string, components int) error {
	if !slices.Equal(s.Groups, groups) || len(s.Parts) != components {
		return fmt.Errorf("forecast of %d groups and %d components: the model has %d and %d",
			len(s.Groups), len(s.Parts), len(groups), components)
	}
	for i, p := range s.Parts {
		if p.Demand < -1 || p.Demand >= len(s.Demands) || len(p.RatePerSec) != len(groups) || !sound(p.Sec) ||
			!sound(p.RatePerSec...) {
			return fmt.Errorf("forecast: component %d is not sound", i)
		}
	}
	for i, d := range s.Demands {
		if len(d.RatePerSec) != len(groups) || len(d.Next) != len(s.Demands) || !sound(d.RatePerSec...) ||
			!sound(d.Next...) ||
			!sound(d.Sec, d.Visits, d.LogSquare, math.Abs(d.LogLength)) {
			return fmt.Errorf("forecast: demand %d is not sound", i)
		}
	}
	if v, n := s.Visit, len(s.Demands); v != nil && (v.Now < -1 || v.Now >= n || v.Next < -1 || v.Next >= n ||
		v.Now < 0 && v.Next >= 0 ||
		!sound(v.Sec, v.NextSec, v.UnknownSec)) {
		return fmt.Errorf("forecast: the visit %+v is not sound", *v)
	}
	return nil
}

// sound reports whether all are finite and none is negative.
func sound(x ...float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return !(v >= 0) || math.IsInf(v, 1) })
}

// restore takes over a snapshot; on an error the forecast is as it was.
func (f *Forecast) restore(s *ForecastSnapshot) error {
	if err := s.check(f.groups, len(f.parts)); err != nil {
		return err
	}
	for i, p := range s.Parts {
		f.parts[i] = part{demand: p.Demand, sec: p.Sec, rates: slices.Clone(p.RatePerSec)}
		f.widen(p.RatePerSec)
	}
	f.demands = nil
	for _, d := range s.Demands {
		d.RatePerSec, d.Next = slices.Clone(d.RatePerSec), slices.Clone(d.Next)
		f.demands = append(f.demands, d)
	}
	f.ids = s.IDs
	if v := s.Visit; v != nil {
		f.now, f.age, f.next, f.begun, f.odd = v.Now, v.Sec, v.Next, v.NextSec, v.UnknownSec
	}
	return nil
}
