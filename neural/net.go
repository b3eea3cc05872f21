package neural

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// Activation is what a layer does with X·W + b.
type Activation string

// The activations.
const (
	Linear Activation = "linear"
	ReLU   Activation = "relu"
	Tanh   Activation = "tanh"
)

// Net is a fully connected network. Its methods do not change it; Params may be changed in place.
type Net struct {
	Sizes  []int      // inputs, units of the hidden layers, outputs
	Hidden Activation // of all layers but the last
	Output Activation
	Params []float64 // by layer: W row-major, then b
}

// mostParams bounds what a file may make this package allocate.
const mostParams = 1 << 24

// New returns a network with weights uniform within ±√(6/(in+out)) (Glorot and Bengio 2010; for ReLU ±√(6/in), He et
// al. 2015) and biases 0. rng nil leaves all 0.
func New(sizes []int, hidden, output Activation, rng *rand.Rand) (*Net, error) {
	n := &Net{Sizes: slices.Clone(sizes), Hidden: hidden, Output: output}
	total, err := n.count()
	if err != nil {
		return nil, err
	}
	n.Params = make([]float64, total)
	if rng == nil {
		return n, nil
	}
	for l := range n.layers() {
		w, _ := n.layer(n.Params, l)
		bound := math.Sqrt(6 / float64(w.Rows+w.Cols))
		if n.activation(l) == ReLU {
			bound = math.Sqrt(6 / float64(w.Rows))
		}
		for i := range w.Data {
			w.Data[i] = bound * (2*rng.Float64() - 1)
		}
	}
	return n, nil
}

// count checks the shape and returns the number of parameters.
func (n *Net) count() (int, error) {
	if len(n.Sizes) < 2 {
		return 0, fmt.Errorf("shape of a network %v: want inputs and outputs at least", n.Sizes)
	}
	for _, a := range []Activation{n.Hidden, n.Output} {
		if a != Linear && a != ReLU && a != Tanh {
			return 0, fmt.Errorf("activation %q: want %s, %s or %s", a, Linear, ReLU, Tanh)
		}
	}
	total := 0
	for i, s := range n.Sizes {
		if s < 1 || s > mostParams {
			return 0, fmt.Errorf("shape of a network %v: want at least 1 unit in each layer", n.Sizes)
		}
		if i > 0 {
			total += (n.Sizes[i-1] + 1) * s
		}
		if total > mostParams {
			return 0, fmt.Errorf("shape of a network %v: more than %d parameters", n.Sizes, mostParams)
		}
	}
	return total, nil
}

func (n *Net) layers() int { return len(n.Sizes) - 1 }

func (n *Net) activation(l int) Activation {
	if l == n.layers()-1 {
		return n.Output
	}
	return n.Hidden
}

// layer is the part of layer l in a vector like Params.
func (n *Net) layer(of []float64, l int) (w blas64.General, b []float64) {
	at := 0
	for i := range l {
		at += (n.Sizes[i] + 1) * n.Sizes[i+1]
	}
	in, out := n.Sizes[l], n.Sizes[l+1]
	w = blas64.General{Rows: in, Cols: out, Stride: out, Data: of[at : at+in*out]}
	return w, of[at+in*out : at+(in+1)*out]
}

// Inputs and Outputs are the widths of both ends.
func (n *Net) Inputs() int { return n.Sizes[0] }

// Outputs is the width of the last layer.
func (n *Net) Outputs() int { return n.Sizes[len(n.Sizes)-1] }

// Clone returns a copy.
func (n *Net) Clone() *Net {
	c := *n
	c.Sizes, c.Params = slices.Clone(n.Sizes), slices.Clone(n.Params)
	return &c
}

// Finite reports whether every parameter is a finite number.
func (n *Net) Finite() bool { return Finite(n.Params) }

// Finite reports whether every number of x is finite.
func Finite(x []float64) bool {
	for _, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// Follow moves the parameters a share tau of the way to those of the other network, of the same shape: a target
// network.
func (n *Net) Follow(other *Net, tau float64) {
	for i, v := range other.Params {
		n.Params[i] += tau * (v - n.Params[i])
	}
}

// SameShape reports whether two networks have the same layers.
func (n *Net) SameShape(o *Net) bool {
	return slices.Equal(n.Sizes, o.Sizes) && n.Hidden == o.Hidden && n.Output == o.Output
}

// UnmarshalJSON implements json.Unmarshaler; it refuses a number of parameters that is not the shape's, and numbers
// that are not finite.
func (n *Net) UnmarshalJSON(text []byte) error {
	type plain Net
	var p plain
	if err := json.Unmarshal(text, &p); err != nil {
		return fmt.Errorf("read network: %w", err)
	}
	got := Net(p)
	want, err := got.count()
	switch {
	case err != nil:
		return fmt.Errorf("read network: %w", err)
	case len(got.Params) != want:
		return fmt.Errorf("read network: %d parameters for the shape %v: want %d", len(got.Params), got.Sizes, want)
	case !got.Finite():
		return errors.New("read network: a parameter is not a finite number")
	}
	*n = got
	return nil
}

// Pass keeps what Forward worked out, for Backward. It may be used again, for one network at a time; it grows to the
// largest batch.
type Pass struct {
	rows int
	acts [][]float64 // by layer: rows×units; 0: the inputs
	back [2][]float64
}

// Forward returns the outputs of x, rows×Inputs, as rows×Outputs; they are the pass's, and valid until its next use.
func (n *Net) Forward(p *Pass, x []float64, rows int) []float64 {
	if len(x) != rows*n.Inputs() {
		panic(fmt.Sprintf("neural: %d inputs for %d rows of %d", len(x), rows, n.Inputs()))
	}
	p.rows = rows
	for len(p.acts) < len(n.Sizes) {
		p.acts = append(p.acts, nil)
	}
	p.acts[0] = append(p.acts[0][:0], x...)
	for l := range n.layers() {
		w, b := n.layer(n.Params, l)
		y := sized(p.acts[l+1], rows*w.Cols)
		for r := range rows {
			copy(y[r*w.Cols:], b)
		}
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, general(p.acts[l], rows, w.Rows), w, 1, general(y, rows, w.Cols))
		switch n.activation(l) {
		case ReLU:
			for i, v := range y {
				y[i] = max(v, 0)
			}
		case Tanh:
			for i, v := range y {
				y[i] = math.Tanh(v)
			}
		}
		p.acts[l+1] = y
	}
	return p.acts[n.layers()]
}

// Backward adds the gradient of a loss by the parameters to gradient. dy is the loss's gradient by the outputs of the
// last Forward of the pass.
func (n *Net) Backward(p *Pass, dy, gradient []float64) { n.backward(p, dy, gradient, false) }

// BackwardInputs returns the gradient by the inputs, rows×Inputs, and adds that by the parameters to gradient; nil: not
// wanted.
func (n *Net) BackwardInputs(p *Pass, dy, gradient []float64) []float64 {
	return n.backward(p, dy, gradient, true)
}

func (n *Net) backward(p *Pass, dy, gradient []float64, inputs bool) []float64 {
	rows := p.rows
	d := sized(p.back[0], rows*n.Outputs())
	copy(d, dy)
	p.back[0] = d
	for l := n.layers() - 1; l >= 0; l-- {
		w, _ := n.layer(n.Params, l)
		y := p.acts[l+1]
		switch n.activation(l) {
		case ReLU:
			for i := range d {
				if y[i] <= 0 {
					d[i] = 0
				}
			}
		case Tanh:
			for i := range d {
				d[i] *= 1 - y[i]*y[i]
			}
		}
		if gradient != nil {
			dw, db := n.layer(gradient, l)
			blas64.Gemm(blas.Trans, blas.NoTrans, 1, general(p.acts[l], rows, w.Rows), general(d, rows, w.Cols), 1, dw)
			for i, v := range d {
				db[i%w.Cols] += v
			}
		}
		if l == 0 && !inputs {
			return nil
		}
		next := sized(p.back[1], rows*w.Rows)
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, general(d, rows, w.Cols), w, 0, general(next, rows, w.Rows))
		p.back[0], p.back[1] = next, d
		d = next
	}
	return d
}

func general(data []float64, rows, cols int) blas64.General {
	return blas64.General{Rows: rows, Cols: cols, Stride: cols, Data: data}
}

// sized returns room for n numbers, whatever they are.
func sized(x []float64, n int) []float64 {
	if cap(x) < n {
		return make([]float64, n)
	}
	return x[:n]
}

// Last are the outputs of the pass's last Forward.
func (p *Pass) Last() []float64 {
	if len(p.acts) == 0 {
		return nil
	}
	return p.acts[len(p.acts)-1]
}
