package cluster

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Choice is one point of the curve by which the number of components is chosen.
type Choice struct {
	K                      int     `json:"k"`
	LogLikelihoodPerSample float64 `json:"log_likelihood_per_sample"`
	BIC                    float64 `json:"bic"`
	AIC                    float64 `json:"aic"`
	ICL                    float64 `json:"icl"`
	Iterations             int     `json:"iterations"`
}

// choosePatience is the number of values of K in a row that may fail to lower the BIC before the search ends.
const choosePatience = 6

// ChooseK fits mixtures of from, from+1, …, to components and returns the one with the least BIC (Schwarz 1978),
// with the curve up to where the search ended: after six values in a row without a better one. fitted, if not nil,
// is called after every value.
func ChooseK(ctx context.Context, x *mat.Dense, s Settings, from, to int, fitted func(Choice)) (*Mixture, []Choice,
	error) {
	if from < 1 || to < from {
		return nil, nil, fmt.Errorf("choose k from %d to %d: want 1 ≤ from ≤ to", from, to)
	}
	var best *Mixture
	var curve []Choice
	least, since := math.Inf(1), 0
	for k := from; k <= to && since < choosePatience; k++ {
		s.K = k
		m, err := FitContext(ctx, x, s)
		if err != nil {
			return nil, nil, fmt.Errorf("k %d: %w", k, err)
		}
		f := m.Fit
		c := Choice{K: k, LogLikelihoodPerSample: f.LogLikelihoodPerSample, BIC: f.BIC, AIC: f.AIC, ICL: f.ICL,
			Iterations: f.Iterations}
		curve = append(curve, c)
		if fitted != nil {
			fitted(c)
		}
		if since++; f.BIC < least {
			least, best, since = f.BIC, m, 0
		}
	}
	return best, curve, nil
}
