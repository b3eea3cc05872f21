package weights

import "math"

// quantiseEnough is the error that ends the search for a better scale.
const quantiseEnough = 0.015

// Quantise returns the whole weights of 1…100, common factor divided out, whose shares are nearest to those of x
// (n servers, any positive scale). It tries every largest weight from 1 to 100 and keeps the smallest whose worst
// relative error of a share, weighted by the square root of the share so that a server with a tiny share does not
// decide, is within 1.5 % or else the best. Entries that are not positive numbers get weight 1. No entries: nil.
func Quantise(x []float64) []Weight {
	if len(x) == 0 {
		return nil
	}
	largest, sum := 0.0, 0.0
	for _, v := range x {
		if usable(v) {
			largest = math.Max(largest, v)
			sum += v
		}
	}
	if largest == 0 {
		return make([]Weight, len(x)) // the zero weight is 1: equal
	}
	clean, want, root := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
	for i, v := range x {
		if usable(v) {
			clean[i], want[i] = v, v/sum
		}
		root[i] = math.Sqrt((want[i] + 1e-9) / float64(len(x)))
	}
	ints := make([]int, len(x))
	best, bestErr := Max, math.Inf(1)
	for top := Min; top <= Max; top++ {
		if e := quantiseError(clean, want, root, ints, float64(top)/largest, bestErr); e < bestErr {
			best, bestErr = top, e
			if e < quantiseEnough {
				break
			}
		}
	}
	divisor := 0
	for i, v := range clean {
		ints[i] = whole(v, float64(best)/largest)
		divisor = gcd(divisor, ints[i])
	}
	out := make([]Weight, len(x))
	for i, n := range ints {
		out[i] = Weight{less1: uint8(n/divisor - 1)}
	}
	return out
}

// quantiseError is the worst error of a share at a scale, relative to the share's square root times the mean root; it
// stops at an error of limit or more. ints is scratch.
func quantiseError(x, want, root []float64, ints []int, scale, limit float64) float64 {
	total := 0
	for i, v := range x {
		ints[i] = whole(v, scale)
		total += ints[i]
	}
	worst := 0.0
	for i := range x {
		got := float64(ints[i]) / float64(total)
		if worst = max(worst, math.Abs(got-want[i])/root[i]); worst >= limit {
			break
		}
	}
	return worst
}

func usable(v float64) bool { return v > 0 && !math.IsInf(v, 0) }

// whole rounds v·scale into 1…100.
func whole(v, scale float64) int {
	return min(max(int(v*scale+0.5), Min), Max)
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
