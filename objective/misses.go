package objective

import (
	"math"
	"slices"
)

// WithMissPrice is an objective to which a missed bound counts for the part price as one that is missed by far,
//
//	Reward = (1 − price)·R(outcome) + price·R(outcome with the delay of whoever misses his bound infinite),
//
// R being the reward of o: what is carried beyond a bound is worth the less the dearer a miss is, and within it as much
// as ever. Plans are made with it where bounds are to hold more often than their objective alone is worth it. 0 ≤ price
// < 1; tardiness, which has no bounds, and delay_bound, which is about nothing else, stay as they are.
func WithMissPrice(o Objective, price float64) Objective {
	if k := o.Kind(); price <= 0 || k == KindTardiness || k == KindDelayBound {
		return o
	}
	return missed{o, price}
}

type missed struct {
	Objective
	price float64
}

func (o missed) Reward(out Outcome) float64 {
	reward := o.Objective.Reward(out)
	far := out
	far.Services = slices.Clone(out.Services)
	for i, held := range Held(o.Objective, out) {
		if !held {
			far.Services[i].DelaySec = math.Inf(1)
		}
	}
	return reward - o.price*(reward-o.Objective.Reward(far))
}
