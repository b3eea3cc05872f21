package weights

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestBound(t *testing.T) {
	for _, c := range []struct {
		name   string
		shares []float64
		limits []Limits
		want   []float64
		fault  string
	}{
		{"no limits change nothing", []float64{0.2, 0.8}, make([]Limits, 2), []float64{0.2, 0.8}, ""},
		{"a least share is taken from the others in proportion", []float64{0, 0.25, 0.75}, []Limits{{Min: 0.2}, {}, {}},
			[]float64{0.2, 0.2, 0.6}, ""},
		{"a largest share is given to the others in proportion", []float64{0.1, 0.1, 0.8}, []Limits{{}, {}, {Max: 0.5}},
			[]float64{0.25, 0.25, 0.5}, ""},
		{"a fixed share", []float64{0.5, 0.5}, []Limits{{Min: 0.05, Max: 0.05}, {}}, []float64{0.05, 0.95}, ""},
		{"what one limit gives another one takes", []float64{0.9, 0.09, 0.01}, []Limits{{Max: 0.6}, {Max: 0.3}, {}},
			[]float64{0.6, 0.3, 0.1}, ""},
		{"nobody has a share where some are needed", []float64{1, 0, 0}, []Limits{{Max: 0.5}, {}, {}},
			[]float64{0.5, 0.25, 0.25}, ""},
		{"least shares of more than all", []float64{0.5, 0.5}, []Limits{{Min: 0.9}, {Min: 0.6}}, []float64{0.6, 0.4},
			"add up to 150 %"},
		{"largest shares of less than all", []float64{0.5, 0.5}, []Limits{{Max: 0.2}, {Max: 0.6}}, []float64{0.25,
			0.75},
			"20 % of the requests to nobody"},
		{"no servers", nil, nil, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := slices.Clone(c.shares)
			err := Bound(got, c.limits, 1)
			if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("got %v, want %q", err, c.fault)
			}
			for i := range c.want {
				if math.Abs(got[i]-c.want[i]) > 1e-6 {
					t.Errorf("got %v, want %v", got, c.want)
				}
			}
		})
	}
}

func TestBoundKeepsLimitsSumAndOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "n")
		x, limits, sum := make([]float64, n), make([]Limits, n), 0.0
		for i := range x {
			x[i] = rapid.Float64Range(0, 1).Draw(t, "share")
			sum += x[i]
			limits[i].Min = rapid.Float64Range(0, 1/float64(n)).Draw(t, "min")
			limits[i].Max = rapid.Float64Range(1/float64(n), 1).Draw(t, "max")
		}
		before := slices.Clone(x)
		if err := Bound(x, limits, 1); err != nil {
			t.Fatal(err)
		}
		total := 0.0
		for i := range x {
			total += x[i]
			if x[i] < limits[i].Min-1e-9 || x[i] > limits[i].Max+1e-9 {
				t.Fatalf("share %d of %v is outside of %+v", i, x, limits[i])
			}
			for j := range x {
				free := x[i] > limits[i].Min && x[j] < limits[j].Max // i could have given j some
				if free && before[i]*x[j] < before[j]*x[i]-1e-6 && before[i] > 1e-6 && before[j] > 1e-6 {
					t.Fatalf("%v became %v: %d has too much beside %d", before, x, i, j)
				}
			}
		}
		if math.Abs(total-1) > 1e-6 {
			t.Fatalf("%v sums to %v", x, total)
		}
	})
}

func TestLimitsThatNoShareKeeps(t *testing.T) {
	for _, c := range []struct {
		name  string
		l     Limits
		wrong bool
	}{
		{"none", Limits{}, false}, {"a fixed share", Limits{0.05, 0.05}, false}, {"all", Limits{0, 1}, false},
		{"everything at least", Limits{Min: 1}, true}, {"less than nothing", Limits{Min: -0.1}, true},
		{"more than everything", Limits{Max: 1.5}, true}, {"upside down", Limits{0.5, 0.2}, true},
		{"no number", Limits{Min: math.NaN()}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.l.Validate(); (err != nil) != c.wrong {
				t.Errorf("got %v, want an error: %t", err, c.wrong)
			}
		})
	}
}
