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
	// variability is the mean of the squared coefficients of variation of arrivals (a smooth round robin makes them
	// more regular than a Poisson stream) and of service.
	variability = 0.5
)

// waits holds, for every number of slots, waiting time in units of the mean service time by utilisation:
// variability · ρ^(√(2(c+1))−1) / (c(1−ρ)) (Sakasegawa 1977), linear beyond linearFrom.
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
	return variability * math.Pow(rho, math.Sqrt(2*(c+1))-1) / (c * (1 - rho))
}

// at returns the waiting time of slot choice h at utilisation rho ≥ 0, in units of the mean service time, and its
// derivative with respect to rho.
func (w *waits) at(h int, rho float64) (wait, slope float64) {
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
