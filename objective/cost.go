package objective

import "math"

// KindCost uses as little capacity as possible.
const KindCost = "cost"

const (
	defaultPriceUnit      = 1.0
	defaultPriceViolation = 10.0
)

// cost uses the smallest capacity that holds the bounds: Reward = −(price_unit · units + Σ importance_i ·
// price_violation · v_i) with v_i = (1 − u_i/o_i) + (1 − c_i/o_i), o_i being what is offered and u_i as in throughput:
// 0 when all of it is carried within the bound, 1 when all is carried far beyond it, 2 when nothing is. The second part
// keeps a service from being given up when its bound is out of reach. Unit: prices, per second. Source: the delay and
// cost objective of the service-mesh framework for a compute service.
type cost struct {
	valued
	unit, violation float64
}

func (cost) Kind() string { return KindCost }

func (o cost) Reward(out Outcome) float64 {
	sum := -o.unit * out.Capacity
	for _, s := range out.Services {
		if s.OfferedPerSec <= 0 {
			continue
		}
		t := o.terms[s.Name]
		kept, carried := math.Min(1, o.worth(s, t)/s.OfferedPerSec), math.Min(1, s.CarriedPerSec/s.OfferedPerSec)
		sum -= t.Importance * o.violation * (2 - kept - carried)
	}
	return sum
}
