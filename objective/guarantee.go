package objective

import "math"

// KindGuarantee holds what is promised.
const KindGuarantee = "guarantee"

// promiseWorth is the worth of a promised request beside others: so much that no number of requests of others that a
// server could carry instead of a promised one makes up for it.
const promiseWorth = 10.0

// guarantee holds what upstreams are promised within their bounds and gives the rest to the others,
//
//	Reward = Σ importance_i · (u_i + (promiseWorth − 1) · min(u_i, promised_i)),
//
// with u_i as in throughput: a promised request is worth ten others, one beyond the promise as much as any. What is
// promised and not asked for is no loss. Unit: requests per second. Source: the guaranteed service of the service-mesh
// framework.
type guarantee struct{ valued }

func (guarantee) Kind() string { return KindGuarantee }

var _ Requests = guarantee{}

// PlainWorth implements Requests: what throughput by importance would be worth.
func (o guarantee) PlainWorth(out Outcome) float64 {
	sum := 0.0
	for _, s := range out.Services {
		t := o.terms[s.Name]
		sum += t.Importance * o.worth(s, t)
	}
	return sum
}

func (o guarantee) Reward(out Outcome) float64 {
	sum := 0.0
	for _, s := range out.Services {
		t := o.terms[s.Name]
		u := o.worth(s, t)
		sum += t.Importance * (u + (promiseWorth-1)*math.Min(u, t.Promised))
	}
	return sum
}
