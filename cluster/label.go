package cluster

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// Level says which rates of a group are called low and high: the thirds of its rate over the intervals in which it
// had requests.
type Level struct {
	Group       string  `json:"group"`
	LowPerSec   float64 `json:"low_below_per_s"`
	HighPerSec  float64 `json:"high_above_per_s"`
	idleBelow   float64
	oneLevel    bool
	rateFeature int
}

// idleShare is the share of the threshold of LOW below which a group is called idle.
const idleShare = 0.02

// errorsFrom is the mean error ratio of a group from which a label mentions it.
const errorsFrom = 0.05

// levels finds the levels of every group in x, n×d raw features.
func (s Schema) levels(x *mat.Dense) []Level {
	if s.Set != LoadFeatures {
		return nil
	}
	n, _ := x.Dims()
	levels := make([]Level, len(s.Groups))
	for g, group := range s.Groups {
		var rates []float64
		for i := range n {
			if r := math.Expm1(x.At(i, g*perGroup)); r > 0 {
				rates = append(rates, r)
			}
		}
		levels[g] = Level{Group: group.Name}
		if len(rates) > 0 {
			slices.Sort(rates)
			levels[g].LowPerSec = stat.Quantile(1.0/3, stat.Empirical, rates, nil)
			levels[g].HighPerSec = stat.Quantile(2.0/3, stat.Empirical, rates, nil)
		}
		levels[g].complete(g)
	}
	return levels
}

// complete derives what naming needs; g is the group's place in the schema.
func (l *Level) complete(g int) {
	l.rateFeature = g * perGroup
	l.idleBelow = idleShare * l.LowPerSec
	l.oneLevel = l.HighPerSec <= 1.1*l.LowPerSec
}

// name is the level of a rate.
func (l *Level) name(ratePerSec float64) string {
	switch {
	case ratePerSec <= l.idleBelow:
		return "IDLE"
	case l.oneLevel:
		return "MED"
	case ratePerSec < l.LowPerSec:
		return "LOW"
	case ratePerSec > l.HighPerSec:
		return "HIGH"
	default:
		return "MED"
	}
}

// describe names every component by the level of each group's rate, and mentions groups that answer with errors.
func (m *Model) describe() []Regime {
	mix := m.Mixture
	regimes := make([]Regime, mix.K)
	seen := map[string]int{}
	for k := range regimes {
		var parts []string
		for g := range m.Levels {
			raw := func(j int) float64 { return mix.Mean(k)[j]*m.Scaler.Deviation[j] + m.Scaler.Mean[j] }
			at := m.Levels[g].rateFeature
			rate := math.Expm1(raw(at))
			part := shortName(m.Levels[g].Group) + " " + m.Levels[g].name(rate)
			if errors := raw(at + 3); errors >= errorsFrom && rate > m.Levels[g].idleBelow {
				part += fmt.Sprintf(" (%.0f %% errors)", 100*min(errors, 1))
			}
			parts = append(parts, part)
		}
		label := strings.Join(parts, " · ")
		if label == "" {
			label = fmt.Sprintf("regime %d", k+1)
		}
		if seen[label]++; seen[label] > 1 {
			label += fmt.Sprintf(" #%d", seen[label])
		}
		regimes[k] = Regime{Label: label, Share: mix.Weights[k]}
	}
	return regimes
}

// shortName drops what upstream names repeat: compose_backend is compose, home_read_backend is home.
func shortName(group string) string {
	return strings.TrimSuffix(strings.TrimSuffix(group, "_backend"), "_read")
}
