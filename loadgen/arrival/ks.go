package arrival

import "math"

// Distance returns the Kolmogorov–Smirnov distance between the sample x, sorted in ascending order, and the
// distribution function cdf: the largest difference between the two functions, forgiving shifts of each value by up to
// tolerance either way. With tolerance 0 it is the classical distance; with a tolerance τ it is
// max(F_n(x) − F(x+τ), F(x−τ) − F_n(x)), which never exceeds the classical distance between the unshifted values and
// the law when no value was shifted by more than τ: the test stays conservative, and laws with atoms can be tested
// on values that carry a little noise.
func Distance(x []float64, cdf func(float64) float64, tolerance float64) float64 {
	n := float64(len(x))
	var d float64
	for i, v := range x {
		before := math.Nextafter(v-tolerance, math.Inf(-1))
		d = max(d, float64(i+1)/n-cdf(v+tolerance), cdf(before)-float64(i)/n)
	}
	return d
}

// KolmogorovSmirnov returns the probability that a sample of n values from a continuous law is at least the distance d
// away from it; for laws with atoms the probability is an upper bound. It is the asymptotic law with the correction of
// Stephens (1970), accurate to about 1 % for n ≥ 4.
func KolmogorovSmirnov(d float64, n int) float64 {
	if n == 0 {
		return 1
	}
	root := math.Sqrt(float64(n))
	lambda := (root + 0.12 + 0.11/root) * d
	if lambda < 0.2 {
		return 1
	}
	var sum float64
	sign := 2.0
	for k := 1; k <= 100; k++ {
		term := sign * math.Exp(-2*lambda*lambda*float64(k*k))
		sum += term
		if math.Abs(term) < 1e-12 {
			break
		}
		sign = -sign
	}
	return min(1, max(0, sum))
}
