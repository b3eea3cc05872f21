package objective

import "math"

// KindCost uses as little capacity as possible.
const KindCost = "cost"

const (
	defaultPriceUnit      = 1.0
	defaultPriceViolation = 10.0
)

// cost uses the smallest capacity that holds the bounds: Reward = −(price_unit · units + Σ importance_i · price_violation · v_i) with
// v_i = 1 − u_i/c_i as in throughput: 0 within the bound, half at the knee, 1 far beyond it; what is refused counts as violated by its
// share. Unit: prices, per second. Source: the delay and cost objective of the service-mesh framework for a compute service.
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
		kept := math.Min(1, o.worth(s, t)/s.OfferedPerSec)
		sum -= t.Importance * o.violation * (1 - kept)
	}
	return sum
}
