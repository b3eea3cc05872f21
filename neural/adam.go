package neural

import "math"

// Adam is the optimiser of Kingma and Ba (2015) over one vector of parameters. The zero value of a field means its
// default; M, V and T are its memory, exported to be stored.
type Adam struct {
	Rate    float64 // step; default 1e-3
	Beta1   float64 // memory of the mean gradient; default 0.9
	Beta2   float64 // memory of its square; default 0.999
	Epsilon float64 // default 1e-8
	Clip    float64 // largest norm of a gradient, longer ones are shortened; 0: none
	M, V    []float64
	T       int
}

// Step moves params against the gradient, which it clears.
func (a *Adam) Step(params, gradient []float64) {
	rate, b1, b2, eps := or(a.Rate, 1e-3), or(a.Beta1, 0.9), or(a.Beta2, 0.999), or(a.Epsilon, 1e-8)
	if a.M == nil {
		a.M, a.V = make([]float64, len(params)), make([]float64, len(params))
	}
	scale := 1.0
	if a.Clip > 0 {
		sum := 0.0
		for _, g := range gradient {
			sum += g * g
		}
		if norm := math.Sqrt(sum); norm > a.Clip {
			scale = a.Clip / norm
		}
	}
	a.T++
	c1, c2 := 1-math.Pow(b1, float64(a.T)), 1-math.Pow(b2, float64(a.T))
	for i, g := range gradient {
		g *= scale
		a.M[i] = b1*a.M[i] + (1-b1)*g
		a.V[i] = b2*a.V[i] + (1-b2)*g*g
		params[i] -= rate * (a.M[i] / c1) / (math.Sqrt(a.V[i]/c2) + eps)
		gradient[i] = 0
	}
}

func or(v, otherwise float64) float64 {
	if v == 0 {
		return otherwise
	}
	return v
}
