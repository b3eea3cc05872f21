package objective

// KindThroughput carries as much as possible.
const KindThroughput = "throughput"

// throughput carries the most requests within the bounds: Reward = Σ u_i with u_i = c_i while the delay d_i of the
// slowest path is within its bound and u_i = c_i/(1+exp(k(d_i−knee_i))) beyond it, c_i being the carried load. Unit:
// requests per second. Source: the reward of the throughput objective in the published evaluation of the service-mesh
// framework, k = 200/s. Every request counts the same here, whatever its upstream's importance: that is
// differentiation.
type throughput struct{ valued }

func (throughput) Kind() string { return KindThroughput }

func (o throughput) Reward(out Outcome) float64 {
	sum := 0.0
	for _, s := range out.Services {
		sum += o.worth(s, o.terms[s.Name])
	}
	return sum
}
