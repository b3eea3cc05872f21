package arena

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Estimate is a mean over seeds with its 95 % confidence interval (Student's t). With one seed there is none: Low and
// High are the mean.
type Estimate struct {
	Mean, Low, High float64
	N               int
}

func estimate(x []float64) Estimate {
	e := Estimate{N: len(x)}
	if len(x) == 0 {
		return e
	}
	e.Mean = stat.Mean(x, nil)
	e.Low, e.High = e.Mean, e.Mean
	if len(x) > 1 {
		t := distuv.StudentsT{Sigma: 1, Nu: float64(len(x) - 1)}.Quantile(0.975)
		half := t * stat.StdDev(x, nil) / math.Sqrt(float64(len(x)))
		e.Low, e.High = e.Mean-half, e.Mean+half
	}
	return e
}

// ratio is the geometric mean of a[i]/b[i] with its confidence interval: pairs belong to the same seed, so that what
// the arrivals do to both cancels. Pairs with a value that is not positive are left out.
func ratio(a, b []float64) Estimate {
	var logs []float64
	for i := range a {
		if a[i] > 0 && b[i] > 0 {
			logs = append(logs, math.Log(a[i]/b[i]))
		}
	}
	e := estimate(logs)
	if e.N == 0 {
		return e
	}
	return Estimate{Mean: math.Exp(e.Mean), Low: math.Exp(e.Low), High: math.Exp(e.High), N: e.N}
}

// difference is the mean of a[i] − b[i] over pairs of the same seed, with its confidence interval.
func difference(a, b []float64) Estimate {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return estimate(d)
}
