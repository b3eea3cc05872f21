package neural

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func newNet(t testing.TB, sizes []int, hidden, output Activation, seed uint64) *Net {
	t.Helper()
	n, err := New(sizes, hidden, output, rand.New(rand.NewPCG(seed, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// halfSquares is ½Σ(y−want)² and its gradient by y.
func halfSquares(y, want []float64) (loss float64, d []float64) {
	for i := range y {
		e := y[i] - want[i]
		loss += e * e / 2
		d = append(d, e)
	}
	return loss, d
}

func TestGradientsAreThoseOfDifferences(t *testing.T) {
	for _, c := range []struct {
		name           string
		sizes          []int
		hidden, output Activation
	}{
		{"one linear layer", []int{3, 2}, ReLU, Linear},
		{"two hidden layers of tanh", []int{4, 7, 5, 3}, Tanh, Linear},
		{"two hidden layers of relu", []int{4, 16, 16, 3}, ReLU, Linear},
		{"an actor whose outputs are bounded", []int{5, 9, 2}, ReLU, Tanh},
	} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(5, 6))
			n := newNet(t, c.sizes, c.hidden, c.output, 7)
			const rows = 6
			x, want := normal(rng, rows*n.Inputs()), normal(rng, rows*n.Outputs())
			for i := range n.Params { // biases that are 0 put relu on its edge
				n.Params[i] += 0.1 * rng.NormFloat64()
			}
			var p Pass
			loss := func() float64 { l, _ := halfSquares(n.Forward(&p, x, rows), want); return l }
			_, dy := halfSquares(n.Forward(&p, x, rows), want)
			gradient := make([]float64, len(n.Params))
			dx := slices.Clone(n.BackwardInputs(&p, dy, gradient))
			for _, of := range []struct {
				what   string
				values []float64
				got    []float64
			}{{"parameter", n.Params, gradient}, {"input", x, dx}} {
				for i := range of.values {
					const h = 1e-6
					kept := of.values[i]
					of.values[i] = kept + h
					up := loss()
					of.values[i] = kept - h
					down := loss()
					of.values[i] = kept
					if numeric := (up - down) / (2 * h); math.Abs(numeric-of.got[i]) > 1e-5*(1+math.Abs(numeric)) {
						t.Errorf("gradient by %s %d: got %g, differences say %g", of.what, i, of.got[i], numeric)
					}
				}
			}
		})
	}
}

func normal(rng *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return x
}

func TestTrainingFitsAFunctionAndRepeats(t *testing.T) {
	fit := func(seed uint64) (*Net, float64) {
		n := newNet(t, []int{2, 32, 32, 1}, Tanh, Linear, seed)
		rng := rand.New(rand.NewPCG(seed, 2))
		adam := Adam{Rate: 3e-3, Clip: 10}
		var p Pass
		gradient, last := make([]float64, len(n.Params)), 0.0
		for range 1500 {
			const rows = 32
			x, want := make([]float64, 2*rows), make([]float64, rows)
			for r := range rows {
				a, b := 2*rng.Float64()-1, 2*rng.Float64()-1
				x[2*r], x[2*r+1], want[r] = a, b, math.Sin(3*a)*b
			}
			loss, dy := halfSquares(n.Forward(&p, x, rows), want)
			for i := range dy {
				dy[i] /= rows
			}
			n.Backward(&p, dy, gradient)
			adam.Step(n.Params, gradient)
			last = loss / rows
		}
		return n, last
	}
	a, loss := fit(3)
	if loss > 2e-3 {
		t.Errorf("loss after 1,500 steps: got %g, want below 0.002", loss)
	}
	if b, _ := fit(3); !slices.Equal(a.Params, b.Params) {
		t.Error("the same seed gives other parameters the second time")
	}
	if b, _ := fit(4); slices.Equal(a.Params, b.Params) {
		t.Error("another seed gives the same parameters")
	}
}

func TestFilesOfNetworks(t *testing.T) {
	n := newNet(t, []int{2, 3, 1}, ReLU, Linear, 1)
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	var back Net
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !back.SameShape(n) || !slices.Equal(back.Params, n.Params) {
		t.Error("what was written is not what is read")
	}
	for _, c := range []struct{ name, text, want string }{
		{"a shape without layers is refused", `{"Sizes":[3],"Hidden":"relu","Output":"linear"}`,
			"want inputs and outputs"},
		{"an empty layer is refused", `{"Sizes":[3,0,1],"Hidden":"relu","Output":"linear"}`, "at least 1 unit"},
		{"too few parameters are refused", `{"Sizes":[3,1],"Hidden":"relu","Output":"linear","Params":[1]}`,
			"1 parameters"},
		{"an unknown activation is refused", `{"Sizes":[1,1],"Hidden":"gelu","Output":"linear","Params":[1,1]}`,
			`activation "gelu"`},
		{"a network beyond all memory is refused", `{"Sizes":[1000000,1000000],"Hidden":"relu","Output":"linear"}`,
			"more than"},
		{"numbers that are too large are refused",
			`{"Sizes":[1,1],"Hidden":"relu","Output":"linear","Params":[1e999,1]}`, "read network"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n Net
			if err := json.Unmarshal([]byte(c.text), &n); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestScalerStandardisesAndBounds(t *testing.T) {
	s := FitScaler([]float64{1, 5, 3, 5}, 2)
	got := make([]float64, 2)
	s.ApplyTo(got, []float64{3, 6})
	if math.Abs(got[0]-1) > 1e-12 || got[1] != 1 {
		t.Errorf("one deviation above, and 1 above a constant: got %v, want [1 1]", got)
	}
	if s.ApplyTo(got, []float64{1e9, -1e9}); got[0] != most || got[1] != -most {
		t.Errorf("far from all that was seen: got %v, want ±%d", got, most)
	}
	if s.Check(3) == nil || s.Check(2) != nil {
		t.Error("Check knows the number of inputs: it does not")
	}
}

func BenchmarkTrain(b *testing.B) {
	for _, rows := range []int{32, 64} {
		b.Run(fmt.Sprintf("40-64-64-57, batch %d", rows), func(b *testing.B) {
			n := newNet(b, []int{40, 64, 64, 57}, ReLU, Linear, 1)
			rng := rand.New(rand.NewPCG(1, 1))
			x, dy := normal(rng, 40*rows), normal(rng, 57*rows)
			gradient := make([]float64, len(n.Params))
			var p Pass
			adam := Adam{}
			b.ReportAllocs()
			for b.Loop() {
				n.Forward(&p, x, rows)
				n.Backward(&p, dy, gradient)
				adam.Step(n.Params, gradient)
			}
		})
	}
}
