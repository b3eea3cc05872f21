package helper

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"trimtab/nginx"
	"trimtab/nginx/rates"
)

// Scaler changes the capacity of servers, within the operator's bounds, cool-downs and timeouts, which it keeps itself.
type Scaler interface {
	Scale(ctx context.Context, capacity map[string]int) error
	// InForce says what servers have, of those that it can say it of.
	InForce(ctx context.Context) (map[string]int, error)
}

// Controls are what an objective may use beside weights of what needs root. The zero value is nothing.
type Controls struct {
	// Scaler runs the operator's program; nil: there is none.
	Scaler Scaler
	// Zones are the limit_req_zones whose rates may be edited, by upstream, MostBlocked the largest share that may be
	// refused.
	Zones       map[string]string
	MostBlocked map[string]float64
}

// Scale has servers have so many units.
func (r *Root) Scale(ctx context.Context, capacity map[string]int) error {
	if r.Controls.Scaler == nil {
		return &nginx.Refusal{Reason: "no program of [scaling] is to be run"}
	}
	if held := r.Held(); held != "" {
		return &nginx.Refusal{Reason: held}
	}
	return r.Controls.Scaler.Scale(ctx, capacity)
}

// Units are what servers have whose program can say so.
func (r *Root) Units(ctx context.Context) (map[string]int, error) {
	if r.Controls.Scaler == nil {
		return nil, &nginx.Refusal{Reason: "no program of [scaling] is to be run"}
	}
	return r.Controls.Scaler.InForce(ctx)
}

// Admit has NGINX refuse shares of what upstreams are offered, requests per second, by the rates of the operator's
// limit_req_zones.
func (r *Root) Admit(ctx context.Context, blocked, offered map[string]float64) error {
	refuses := false
	for _, name := range slices.Sorted(maps.Keys(blocked)) {
		share := blocked[name]
		if _, ok := r.Controls.Zones[name]; !ok {
			return &nginx.Refusal{Reason: fmt.Sprintf("upstream %.200q is not one whose requests may be refused", name)}
		}
		if most := r.Controls.MostBlocked[name]; !(share >= 0 && share <= most) {
			return &nginx.Refusal{Reason: fmt.Sprintf("upstream %.200q: a share of %g: want 0 to %g", name, share,
				most)}
		}
		refuses = refuses || share > 0
	}
	if held := r.Held(); refuses && held != "" {
		return &nginx.Refusal{Reason: held}
	}
	return r.rates(offered).Admit(ctx, blocked)
}

// Release puts the operator's rates back. Nothing holds that.
func (r *Root) Release(ctx context.Context) error { return r.rates(nil).Release(ctx) }

// rates edits rates for upstreams that are offered so many requests per second.
func (r *Root) rates(offered map[string]float64) *rates.Admission {
	return &rates.Admission{Applier: r.Applier, Zones: r.Controls.Zones, Offered: func(upstream string) float64 {
		if v := offered[upstream]; v > 0 && !math.IsInf(v, 0) {
			return v
		}
		return 0
	}}
}

// controls handles what is asked of the controls beside weights on the socket for changes; ok is false for anything
// else.
func (s *Server) controls(ctx context.Context, root *Root, req *request) (r reply, ok bool) {
	switch req.Op {
	case opScale:
		return reply{Failure: failureOf(root.Scale(ctx, req.Units))}, true
	case opUnits:
		units, err := root.Units(ctx)
		return reply{Units: units, Failure: failureOf(err)}, true
	case opAdmit:
		return reply{Failure: failureOf(root.Admit(ctx, req.Blocked, req.Offered))}, true
	case opRelease:
		return reply{Failure: failureOf(root.Release(ctx))}, true
	}
	return reply{}, false
}

// letAllIn puts the operator's rates back when there is no worker any more to decide about them.
func (s *Server) letAllIn() {
	root := s.root()
	if len(root.Controls.Zones) == 0 {
		return
	}
	root.blind()
	if err := root.Release(context.Background()); err != nil {
		s.log().Error("the operator's rates are not back", "error", err)
	}
}

// Scale is Root's.
func (c *Client) Scale(ctx context.Context, capacity map[string]int) error {
	_, err := c.change(ctx, request{Op: opScale, Units: capacity})
	return err
}

// Units is Root's.
func (c *Client) Units(ctx context.Context) (map[string]int, error) {
	r, err := c.change(ctx, request{Op: opUnits})
	return r.Units, err
}

// Admit is Root's.
func (c *Client) Admit(ctx context.Context, blocked, offered map[string]float64) error {
	_, err := c.change(ctx, request{Op: opAdmit, Blocked: blocked, Offered: offered})
	return err
}

// Release is Root's.
func (c *Client) Release(ctx context.Context) error {
	_, err := c.change(ctx, request{Op: opRelease})
	return err
}
