package weights

import (
	"fmt"
	"math"
)

// Limits bound the share of requests that a server may have; the zero value does not.
type Limits struct {
	Min float64 // 0 to 1
	Max float64 // 0 to 1; 0 means 1
}

// most is the largest share.
func (l Limits) most() float64 {
	if l.Max == 0 {
		return 1
	}
	return l.Max
}

// Free reports whether the limits bound nothing.
func (l Limits) Free() bool { return l.Min <= 0 && l.most() >= 1 }

// Validate reports limits that no share can keep.
func (l Limits) Validate() error {
	if !(l.Min >= 0 && l.Min < 1) || !(l.Max >= 0 && l.Max <= 1) {
		return fmt.Errorf("a share of %g to %g: want 0 to 1", l.Min, l.Max)
	}
	if l.Min > l.most() {
		return fmt.Errorf("a share of at least %g and at most %g: no share is both", l.Min, l.Max)
	}
	return nil
}

// GroupLimits bound the shares of a group's servers; the zero value does not.
type GroupLimits struct {
	Each    Limits            // of every server that Servers does not name
	Servers map[string]Limits // by address; a fixed share has Min equal to Max
	Keep    map[string]bool   // servers whose share stays what the operator's weights give it
}

// Free reports whether nothing is bound.
func (l *GroupLimits) Free() bool { return l.Each.Free() && len(l.Servers) == 0 && len(l.Keep) == 0 }

// Validate reports what no weights can keep.
func (l *GroupLimits) Validate() error {
	if err := l.Each.Validate(); err != nil {
		return err
	}
	for server, own := range l.Servers {
		if err := own.Validate(); err != nil {
			return fmt.Errorf("server %s: %w", server, err)
		}
	}
	return nil
}

// leastPart is what a share of 0 counts as where it has to be raised: those at 0 then rise together.
const leastPart = 1e-9

// Bound moves shares into their limits, so that they sum to total: x_i = min(max(λ·x_i, lo_i), hi_i) with the one λ
// for which they do. What one may not have the others divide in proportion. Both have the length n. Where the least
// shares sum to more than total, or the largest to less, all of these are scaled to it, and an error says so.
func Bound(shares []float64, limits []Limits, total float64) error {
	low, high := 0.0, 0.0
	for _, l := range limits {
		low += l.Min
		high += l.most()
	}
	switch {
	case len(shares) == 0:
		return nil
	case low > total+1e-9:
		for i, l := range limits {
			shares[i] = l.Min * total / low
		}
		return fmt.Errorf("the least shares add up to %.4g %% where %.4g %% are to be had", 100*low, 100*total)
	case high < total-1e-9:
		for i, l := range limits {
			shares[i] = l.most() * total / high
		}
		return fmt.Errorf("the largest shares leave %.4g %% of the requests to nobody", 100*(total-high))
	}
	at := func(i int, scale float64) float64 {
		return math.Min(math.Max(scale*math.Max(shares[i], leastPart), limits[i].Min), limits[i].most())
	}
	sum := func(scale float64) (s float64) {
		for i := range shares {
			s += at(i, scale)
		}
		return s
	}
	// sum grows with its scale, from low at 0 to high where the least part alone fills every limit.
	below, above := 0.0, 1/leastPart
	for range 200 {
		if middle := below + (above-below)/2; sum(middle) < total {
			below = middle
		} else {
			above = middle
		}
	}
	for i := range shares {
		shares[i] = at(i, above)
	}
	return nil
}
