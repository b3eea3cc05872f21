package cluster

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The machine's loops and the portable ones agree to rounding, for every width and every number of rows.
func TestKernelsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		return v
	}
	fast, slow := newKernel(), portableKernel()
	for d := 1; d <= 41; d++ {
		stride := padded(d)
		p, b, x := random(d*(d+1)/2), random(d), random(d*lanes)
		got := random(lanes)
		want := append([]float64(nil), got...)
		fast.distances(got, p, b, x, d)
		slow.distances(want, p, b, x, d)
		compare(t, "distances", d, got, want)

		for _, rows := range []int{1, 2, 7, lanes} {
			index := make([]int32, rows)
			for r := range index {
				index[r] = int32(rng.IntN(lanes))
			}
			x, mean, root := random(lanes*stride), random(stride), random(rows)
			z1, z2, f1, f2 := make([]float64, rows*stride), make([]float64, rows*stride), make([]float64, stride),
				make([]float64, stride)
			fast.pack(z1, f1, x, mean, index, root, stride)
			slow.pack(z2, f2, x, mean, index, root, stride)
			compare(t, "pack", d, z1, z2)
			compare(t, "pack sums", d, f1, f2)

			c1 := random(stride * stride)
			c2 := append([]float64(nil), c1...)
			fast.rank(c1, z1, rows, stride)
			slow.rank(c2, z1, rows, stride)
			for i := range stride {
				compare(t, "rank", d, c1[i*stride:i*stride+i+1], c2[i*stride:i*stride+i+1])
			}
		}
	}
}

func compare(t *testing.T, what string, d int, got, want []float64) {
	t.Helper()
	for i := range got {
		if math.Abs(got[i]-want[i]) > 1e-11*(1+math.Abs(want[i])) {
			t.Fatalf("%s, %d features, element %d: got %g, want %g", what, d, i, got[i], want[i])
		}
	}
}
