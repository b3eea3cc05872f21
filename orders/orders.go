package orders

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Orders are all that are given, by upstream and server.
type Orders struct {
	Format    int                         `json:"format"` // 1
	Upstreams map[string]map[string]Order `json:"upstreams"`
	// Before are the weights that an upstream had before its first order, which it returns to after its last.
	Before map[string]map[string]Weight `json:"before,omitempty"`
	// Limits bound shares of upstreams that are tuned on.
	Limits map[string]map[string]Limit `json:"limits,omitempty"`
}

// Order is what is wanted of one server; the zero value wants nothing.
type Order struct {
	Pin   float64   `json:"pin,omitempty"`   // its share of the requests, above 0 and below 1; 0: not pinned
	Drain bool      `json:"drain,omitempty"` // no new requests
	Since time.Time `json:"since"`           // when the order was given
	Until time.Time `json:"until,omitzero"`  // zero: until it is taken back
	// Ramp is how long the server grows from nothing to its share, from Since on; 0: no slow start.
	Ramp time.Duration `json:"ramp_ns,omitempty"`
	By   string        `json:"by,omitempty"` // who gave it
}

// Weight is a weight and whether the server is taken out.
type Weight struct {
	Weight int  `json:"weight"`
	Down   bool `json:"down"`
}

// over reports whether the order has ended.
func (o Order) over(now time.Time) bool {
	if !o.Until.IsZero() && !now.Before(o.Until) {
		return true
	}
	return o.Pin == 0 && !o.Drain && (o.Ramp == 0 || now.Sub(o.Since) >= o.Ramp)
}

// Text is the order in words.
func (o Order) Text(now time.Time) string {
	text := "nothing"
	switch {
	case o.Drain:
		text = "drained"
	case o.Pin > 0:
		text = fmt.Sprintf("pinned to %.4g %% of the requests", 100*o.Pin)
	case o.Ramp > 0:
		text = fmt.Sprintf("slow start, %.0f %% of its share", 100*o.rampShare(now))
	}
	if !o.Until.IsZero() {
		text += fmt.Sprintf(", for another %s", o.Until.Sub(now).Round(time.Second))
	}
	return text
}

// Validate reports what makes no sense.
func (o *Orders) Validate() error {
	var errs []error
	if o.Format != 1 {
		errs = append(errs, fmt.Errorf("format %d, want 1", o.Format))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Upstreams)) {
		sum := 0.0
		for _, server := range slices.Sorted(maps.Keys(o.Upstreams[name])) {
			order := o.Upstreams[name][server]
			if !(order.Pin >= 0 && order.Pin < 1) {
				errs = append(errs,
					fmt.Errorf("upstream %q: server %s: a share of %g: want more than 0 and less than 1", name,
						server, order.Pin))
			}
			if order.Pin > 0 && order.Drain {
				errs = append(errs, fmt.Errorf("upstream %q: server %s cannot be drained and pinned", name, server))
			}
			if order.Ramp < 0 {
				errs = append(errs, fmt.Errorf("upstream %q: server %s: a slow start of %v: want more than 0", name,
					server, order.Ramp))
			}
			if !order.Drain {
				sum += order.Pin
			}
		}
		if sum >= 1 {
			errs = append(errs, fmt.Errorf("upstream %q: the pinned shares add up to %.4g %%, want less than 100",
				name, 100*sum))
		}
	}
	return errors.Join(append(errs, validateLimits(o.Limits))...)
}

// Active reports whether the upstream has orders that are not over.
func (o *Orders) Active(upstream string, now time.Time) bool {
	for _, order := range o.Upstreams[upstream] {
		if !order.over(now) {
			return true
		}
	}
	return false
}

// Expire drops the orders that are over, and reports whether there were any.
func (o *Orders) Expire(now time.Time) bool {
	dropped := false
	for name, servers := range o.Upstreams {
		for server, order := range servers {
			if order.over(now) {
				delete(servers, server)
				dropped = true
			}
		}
		if len(servers) == 0 {
			delete(o.Upstreams, name)
		}
	}
	for name, servers := range o.Limits {
		for server, l := range servers {
			if l.over(now) {
				dropped = o.Bound(name, server, Limit{}) || dropped
			}
		}
	}
	return dropped
}

// Clone is a deep copy.
func (o *Orders) Clone() *Orders {
	c := &Orders{Format: o.Format, Upstreams: map[string]map[string]Order{}, Before: map[string]map[string]Weight{}}
	for name, servers := range o.Upstreams {
		c.Upstreams[name] = maps.Clone(servers)
	}
	for name, servers := range o.Before {
		c.Before[name] = maps.Clone(servers)
	}
	for name, servers := range o.Limits {
		for server, l := range servers {
			c.Bound(name, server, l)
		}
	}
	return c
}
