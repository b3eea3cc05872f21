package orders

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"trimtab/weights"
)

// ErrNobody is returned when the orders would leave no server to send to.
var ErrNobody = errors.New("no server would be left")

// ErrLimits is returned beside weights that keep the limits as far as they can be kept: those who take requests are too
// few, or too many.
var ErrLimits = errors.New("not all limits of shares can be kept")

// leastRamp is the share of its share with which a slow start begins: below it a server would see no request to warm up
// by.
const leastRamp = 0.05

// rampShare is how much of its share the server has by now, 0 to 1.
func (o Order) rampShare(now time.Time) float64 {
	if o.Ramp <= 0 {
		return 1
	}
	return min(1, max(leastRamp, float64(now.Sub(o.Since))/float64(o.Ramp)))
}

// Shape returns the weights, at most most, under which the requests fall as base says, changed as the orders and limits
// say. Servers of base that are down stay so. ErrNobody comes without weights, ErrLimits with some.
func Shape(base map[string]Weight, orders map[string]Order, limits map[string]weights.Limits, most int,
	now time.Time) (out map[string]Weight, err error) {
	shares, pinned := map[string]float64{}, map[string]bool{}
	out = make(map[string]Weight, len(base))
	sum := 0.0
	for server, w := range base {
		out[server] = w
		order := orders[server]
		if order.over(now) {
			order = Order{}
		}
		if w.Down || order.Drain {
			out[server] = Weight{Weight: w.Weight, Down: true}
			continue
		}
		shares[server] = float64(w.Weight) * order.rampShare(now)
		if order.Pin > 0 {
			pinned[server] = true
			continue
		}
		sum += shares[server]
	}
	if len(shares) == 0 {
		return nil, ErrNobody
	}
	rest := 1.0
	for server := range pinned {
		shares[server] = orders[server].Pin
		rest -= orders[server].Pin
	}
	if sum == 0 { // everybody is pinned: the pins in proportion
		for server := range shares {
			shares[server] /= 1 - rest
		}
	} else {
		for server := range shares {
			if !pinned[server] {
				shares[server] *= rest / sum
			}
		}
		if fault := clamp(shares, pinned, ramped(limits, orders, now), rest); fault != nil {
			err = fmt.Errorf("%w: %w", ErrLimits, fault)
		}
	}
	for server, w := range quantise(shares, most) {
		out[server] = Weight{Weight: w}
	}
	return out, err
}

// ramped are the limits while servers grow: of a least share, a server has as much as of its share.
func ramped(limits map[string]weights.Limits, orders map[string]Order, now time.Time) map[string]weights.Limits {
	out := maps.Clone(limits)
	for server, order := range orders {
		if l, bound := out[server]; bound && order.Ramp > 0 && !order.over(now) {
			l.Min *= order.rampShare(now)
			out[server] = l
		}
	}
	return out
}

// clamp moves the shares that are not pinned within their limits; they sum to rest.
func clamp(shares map[string]float64, pinned map[string]bool, limits map[string]weights.Limits, rest float64) error {
	servers := slices.DeleteFunc(slices.Sorted(maps.Keys(shares)), func(s string) bool { return pinned[s] })
	x, bounds := make([]float64, len(servers)), make([]weights.Limits, len(servers))
	for i, server := range servers {
		x[i], bounds[i] = shares[server], limits[server]
	}
	err := weights.Bound(x, bounds, rest)
	for i, server := range servers {
		shares[server] = x[i]
	}
	return err
}

// quantise returns weights from 1 to most in the proportions of the shares, as small as these can be had to a hundredth
// of themselves, else the closest.
func quantise(shares map[string]float64, most int) map[string]int {
	servers := slices.Sorted(maps.Keys(shares))
	largest := 0.0
	for _, server := range servers {
		largest = max(largest, shares[server])
	}
	best, bestErr := 1, math.Inf(1)
	at := func(top int, server string) int {
		return min(most, max(1, int(math.Round(shares[server]/largest*float64(top)))))
	}
	for top := 1; top <= most; top++ {
		worst, sum := 0.0, 0.0
		for _, server := range servers {
			sum += float64(at(top, server))
		}
		for _, server := range servers {
			worst = max(worst, math.Abs(float64(at(top, server))/sum-shares[server])/max(shares[server], 1e-9))
		}
		if worst < bestErr-1e-12 {
			best, bestErr = top, worst
		}
		if bestErr <= 0.01 || top >= 10_000 {
			break
		}
	}
	out := make(map[string]int, len(servers))
	for _, server := range servers {
		out[server] = at(best, server)
	}
	return out
}
