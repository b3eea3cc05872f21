package cluster

import (
	"fmt"
	"testing"
)

func BenchmarkFit(b *testing.B) {
	for _, c := range []struct {
		n, d, k    int
		separation float64
	}{{7000, 37, 27, 0.3}, {7000, 37, 27, 3}, {200000, 16, 8, 0.3}, {200000, 16, 8, 3}} {
		x, _, truth := drawMixture(c.n, c.d, c.k, c.separation, 1)
		b.Run(fmt.Sprintf("%dx%d/k=%d/separation=%g", c.n, c.d, c.k, c.separation), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Fit(x, Settings{Start: truth, MaxIterations: 10, Tolerance: -1}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAssign(b *testing.B) {
	for _, separation := range []float64{0.3, 3} {
		x, _, truth := drawMixture(1000, 37, 27, separation, 1)
		b.Run(fmt.Sprintf("37/k=27/separation=%g", separation), func(b *testing.B) {
			resp, c := make([]float64, 27), make([]float64, 37)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				truth.assign(resp, c, x.RawRowView(i%1000))
				i++
			}
		})
	}
}
