package objective

// KindTardiness is the objective that Trimtab has without being asked.
const KindTardiness = "tardiness"

// tardiness wants answers within their deadlines: Reward = −Σ c_i·ART_i, the accumulated relative tardiness per second,
// where ART is max(0, (t−d)/d) per request and DefaultErrorTardiness for a failed one. Importance multiplies it. Unit:
// deadlines per second. Source: the accumulated relative tardiness of the learned load balancers that Trimtab's tuner
// is compared with.
type tardiness struct{ valued }

func (tardiness) Kind() string { return KindTardiness }

func (o tardiness) Reward(out Outcome) float64 {
	sum := 0.0
	for _, s := range out.Services {
		sum -= o.terms[s.Name].Importance * s.CarriedPerSec * s.Tardiness
	}
	return sum
}
