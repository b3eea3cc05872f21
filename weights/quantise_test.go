package weights

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func ints(w []Weight) []int {
	out := make([]int, len(w))
	for i, v := range w {
		out[i] = v.Int()
	}
	return out
}

func TestQuantise(t *testing.T) {
	for _, c := range []struct {
		about string
		x     []float64
		want  []int
	}{
		{"equal shares are 1:1:1 whatever their scale", []float64{0.3, 0.3, 0.3}, []int{1, 1, 1}},
		{"an exact small ratio stays small", []float64{1, 2, 4}, []int{1, 2, 4}},
		{"a common factor is divided out", []float64{20, 40, 80}, []int{1, 2, 4}},
		{"a share below 1 % of the largest gets weight 1", []float64{1e-9, 1}, []int{1, 100}},
		{"what is no positive number gets weight 1", []float64{math.NaN(), math.Inf(1), 2, 1, -1, 0},
			[]int{1, 1, 100, 50, 1, 1}},
		{"nothing usable is equal", []float64{0, math.NaN()}, []int{1, 1}},
		{"one server has weight 1", []float64{7.3}, []int{1}},
		{"no servers, no weights", nil, []int{}},
	} {
		if got := ints(Quantise(c.x)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.about, got, c.want)
		}
	}
}

func TestQuantiseKeepsSharesWithinHalfAStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float64Range(1, 60), 1, 12).Draw(t, "x")
		w := Quantise(x)
		sumX, sumW, divisor := 0.0, 0.0, 0
		for i := range x {
			sumX += x[i]
			sumW += float64(w[i].Int())
			divisor = gcd(divisor, w[i].Int())
		}
		if divisor != 1 {
			t.Fatalf("weights %v have the common factor %d", ints(w), divisor)
		}
		for i := range x {
			got, want := float64(w[i].Int())/sumW, x[i]/sumX
			if math.Abs(got-want) > 0.03*math.Sqrt(want) {
				t.Fatalf("share %d of %v is %.4f, want %.4f", i, ints(w), got, want)
			}
		}
	})
}
