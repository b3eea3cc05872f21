package tuner

import "math"

// slotGrid holds the numbers of slots (requests in service at once) that a station may have. The fit weighs them all
// against each other; between two of them the waiting time differs by less than the noise of an interval.
var slotGrid = [...]float64{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128}

const (
	slotChoices = len(slotGrid)
	// linearFrom is the utilisation above which waiting grows linearly instead of without bound.
	linearFrom = 0.98
	waitSteps  = 512
)

// flow is how irregular arrivals and service at a station are: squared coefficients of variation.
type flow struct{ arrivals, service float64 }

// pooledFlow is that of a server of least connections: it is sent requests when it has room. No formula is known here for the
// wait at such a server: a constant factor of a half is assumed.
var pooledFlow = flow{1, 0}

// factor is what the irregularity makes of the waiting time of M/M/c at utilisation rho, and its derivative:
// (ca² + cs²)/2 (Allen and Cunneen), times Krämer and Langenbach-Belz's (1976) correction exp(−2(1−ρ)(1−ca²)²/(3ρ(ca²+cs²)))
// for arrivals that are more regular than a Poisson stream. A smooth round robin makes them so: a server that is given
// every n'th request of one sees ca² = 1/n. Against the twin the mean wait is within a third from 75 % of use on
// (TestWaitsAreThoseOfTheTwin), where a constant factor of 0.5 makes it two to four times too long for a server with a seventh of
// the requests.
func (v flow) factor(rho float64) (f, slope float64) {
	sum := v.arrivals + v.service
	f = sum / 2
	if sum <= 0 || v.arrivals >= 1 {
		return f, 0
	}
	rho = math.Max(rho, 0.05)
	if rho >= 1 {
		return f, 0
	}
	k := 2 * (1 - v.arrivals) * (1 - v.arrivals) / (3 * sum)
	f *= math.Exp(-k * (1 - rho) / rho)
	return f, f * k / (rho * rho)
}

// waits holds, for every number of slots, waiting time of M/M/c in units of the mean service time by utilisation:
// ρ^(√(2(c+1))−1) / (c(1−ρ)) (Sakasegawa 1977), linear beyond linearFrom.
type waits [slotChoices][waitSteps + 2]float64

func newWaits() *waits {
	w := new(waits)
	for h, c := range slotGrid {
		for k := range w[h] {
			w[h][k] = sakasegawa(float64(k)/waitSteps*linearFrom, c)
		}
	}
	return w
}

func sakasegawa(rho, c float64) float64 {
	return math.Pow(rho, math.Sqrt(2*(c+1))-1) / (c * (1 - rho))
}

// at returns the waiting time of slot choice h at utilisation rho ≥ 0, in units of the mean service time, and its
// derivative with respect to rho.
func (w *waits) at(h int, rho float64, v flow) (wait, slope float64) {
	wait, slope = w.poisson(h, rho)
	f, df := v.factor(rho)
	return wait * f, slope*f + wait*df
}

// poisson is at for exponential arrivals and service.
func (w *waits) poisson(h int, rho float64) (wait, slope float64) {
	t := &w[h]
	const scale = waitSteps / linearFrom
	pos := rho * scale
	if pos >= waitSteps {
		// Past the last step: the tangent of the formula there, as a backlog that grows over the horizon.
		end := t[waitSteps]
		slope = end / (1 - linearFrom)
		return end + (rho-linearFrom)*slope, slope
	}
	k := int(pos)
	f := pos - float64(k)
	step := t[k+1] - t[k]
	return t[k] + f*step, step * scale
}

// soFar bounds the steady waiting time at an operating point, in units of the mean service time, by what can have queued since the
// load came, and returns its derivative too and how much (0…1) the bound decides. Near full use a queue takes minutes to become
// what the formulas for a steady one say, and beyond it there is none.
//
// At full use the queue is a Brownian motion reflected at 0 with a variance of λ(ca²+cs²) requests per second: of the mean
// √(2λ(ca²+cs²)t/π) after t seconds, ⅔ of that as a mean over them. Twice that is rarely exceeded and is the bound. Beyond full use
// the wait grows by ρ−1 seconds per second as well. Both are joined as the root of the sum of the inverse squares.
func (p *point) soFar(unit, slope, mean, rho float64, v flow) (wait, steep, decides float64) {
	rate := 0.0
	for _, r := range p.rate {
		rate += r
	}
	if rate <= 0 || mean <= 0 || unit <= 0 {
		return unit, slope, 0
	}
	most, grows := 4.0/3*math.Sqrt(2*(v.arrivals+v.service)*p.stay/(math.Pi*rate))/mean, 0.0
	if rho > 1 {
		grows = p.stay / 2 / mean
		most += (rho - 1) * grows
	}
	if !(most > 0) || math.IsInf(most, 1) {
		return unit, slope, 0
	}
	// The ratios, not the powers themselves: a wait of 1e-114 is usual at low use, and its cube is 0.
	long := unit / most
	if math.IsInf(long, 1) {
		return most, grows, 1
	}
	near := 1 / math.Hypot(1, long) // wait/unit
	wait = unit * near
	steep = near*near*near*slope + math.Pow(near*long, 3)*grows
	return wait, steep, near * long * near * long
}
