package arena

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Estimate is a mean over seeds with its 95 % confidence interval (Student's t). With one seed there is none: Low and
// High are the mean.
type Estimate struct {
	Mean, Low, High float64
	N               int
}

func estimate(x []float64) Estimate { return estimateAt(x, 0.05) }

// estimateAt is estimate with an interval that leaves alpha outside.
func estimateAt(x []float64, alpha float64) Estimate {
	e := Estimate{N: len(x)}
	if len(x) == 0 {
		return e
	}
	e.Mean = stat.Mean(x, nil)
	e.Low, e.High = e.Mean, e.Mean
	if len(x) > 1 {
		t := distuv.StudentsT{Sigma: 1, Nu: float64(len(x) - 1)}.Quantile(1 - alpha/2)
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

// resamples is how often bootstrap draws.
const resamples = 4000

// bootstrap is the geometric mean of x with its 95 % confidence interval by resampling x (percentile bootstrap, Efron
// 1979), for ratios that are far from log-normal. The same x and seed give the same interval; all x must be positive.
func bootstrap(x []float64, seed uint64) Estimate {
	e := Estimate{N: len(x)}
	if len(x) == 0 {
		return e
	}
	logs := make([]float64, len(x))
	for i, v := range x {
		logs[i] = math.Log(v)
	}
	e.Mean = math.Exp(stat.Mean(logs, nil))
	rng := rand.New(rand.NewPCG(seed, 0xb007))
	means := make([]float64, resamples)
	for i := range means {
		for range logs {
			means[i] += logs[rng.IntN(len(logs))] / float64(len(logs))
		}
	}
	slices.Sort(means)
	e.Low = math.Exp(stat.Quantile(0.025, stat.Empirical, means, nil))
	e.High = math.Exp(stat.Quantile(0.975, stat.Empirical, means, nil))
	return e
}

// EstimateOf is the mean of x with its 95 % confidence interval.
func EstimateOf(x []float64) Estimate { return estimate(x) }
