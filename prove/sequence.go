package prove

import "math"

// mixture is the variance of the effects, in standard deviations of a pair, that the confidence sequence is tightest
// for: of about one.
const mixture = 1.0

// sequence is the factor t such that mean ± t·s/√n holds for all n at once with probability 1 − alpha; +Inf with too
// few pairs.
func sequence(n int, alpha float64) float64 {
	if n < 2 {
		return math.Inf(1)
	}
	a := 1 + float64(n)*mixture
	c := math.Pow(math.Sqrt(a)/alpha, 2/float64(n))
	if c >= a {
		return math.Inf(1)
	}
	return math.Sqrt(float64(n-1) * (c - 1) / (1 - c/a))
}

// What neighbours are believed to have in common.
const (
	mostCorrelated = 0.8
	doubt          = 0.5 // standard errors that are added to what is estimated
)

// spread is the standard deviation of one of the values as far as it matters for their mean: √ of the larger of the
// variance and the long-run variance of a process of which a value has the correlation r with the next one,
// s²·(1+r)/(1−r) (Andrews and Monahan 1992 call it prewhitening). r is estimated with Kendall's correction, (1+3r)/n,
// for the mean that was taken from the same few values, and half a standard error on top.
func spread(x []float64) (mean, sd float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += v / n
	}
	if len(x) < 2 {
		return mean, math.NaN()
	}
	covariance := func(lag int) float64 {
		sum := 0.0
		for i := lag; i < len(x); i++ {
			sum += (x[i] - mean) * (x[i-lag] - mean)
		}
		return sum / (n - 1)
	}
	plain := covariance(0)
	if !(plain > 0) {
		return mean, 0
	}
	r := covariance(1) / plain
	r = math.Min(math.Max(0, r+(1+3*r)/n+doubt/math.Sqrt(n)), mostCorrelated)
	return mean, math.Sqrt(plain * (1 + r) / (1 - r))
}
