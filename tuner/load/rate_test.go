package load

import (
	"math"
	"testing"
)

func TestArrivals(t *testing.T) {
	for _, c := range []struct {
		name          string
		asked, shares []float64
		want          float64
	}{
		{"all keep up", []float64{40, 82, 158}, []float64{0.14, 0.29, 0.57}, 280},
		{"one fills up", []float64{95, 155, 155}, []float64{1. / 3, 1. / 3, 1. / 3}, 465},
		{"one finishes what waited and is not asked", []float64{60, 88, 196}, []float64{0, 0.308, 0.685}, 286},
		{"nobody tells", []float64{10, 20}, []float64{0, 0}, 30},
		{"nobody is asked", []float64{0, 0}, []float64{0.5, 0.5}, 0},
	} {
		if got := Arrivals(c.asked, c.shares); math.Abs(got-c.want) > 0.03*c.want {
			t.Errorf("%s: got %.0f per second, want %.0f", c.name, got, c.want)
		}
	}
}
