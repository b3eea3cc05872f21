package objective

// KindDifferentiation favours some upstreams over others.
const KindDifferentiation = "differentiation"

// differentiation carries the most requests within the bounds, each worth the importance of its upstream: Reward = Σ
// importance_i · u_i with u_i as in throughput. Unit: requests per second of importance 1. Source: the service
// differentiation of the service-mesh framework, such as 5:1.
type differentiation struct{ valued }

func (differentiation) Kind() string { return KindDifferentiation }

func (o differentiation) Reward(out Outcome) float64 {
	sum := 0.0
	for _, s := range out.Services {
		t := o.terms[s.Name]
		sum += t.Importance * o.worth(s, t)
	}
	return sum
}
