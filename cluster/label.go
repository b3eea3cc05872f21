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
// Components of one name get the rates added, and a number if that does not help.
func (m *Model) describe() []Regime {
	regimes := make([]Regime, m.Mixture.K)
	label := func(k int, withRates bool) string {
		if len(m.Levels) == 0 {
			return fmt.Sprintf("regime %d", k)
		}
		return m.label(k, withRates)
	}
	names, detailed := map[string]int{}, map[string]int{}
	for k := range regimes {
		names[label(k, false)]++
	}
	for k := range regimes {
		name := label(k, false)
		if names[name] > 1 {
			name = label(k, true)
			if detailed[name]++; detailed[name] > 1 {
				name += fmt.Sprintf(" #%d", detailed[name])
			}
		}
		regimes[k] = Regime{Label: name, Share: m.Mixture.Weights[k]}
	}
	return regimes
}

// label is the name of component k.
func (m *Model) label(k int, withRates bool) string {
	var parts []string
	for g := range m.Levels {
		l := &m.Levels[g]
		raw := func(j int) float64 { return m.Mixture.Mean(k)[j]*m.Scaler.Deviation[j] + m.Scaler.Mean[j] }
		rate := math.Expm1(raw(l.rateFeature))
		part := ShortName(l.Group) + " " + l.name(rate)
		if withRates && rate > l.idleBelow {
			part += fmt.Sprintf(" %.3g/s", rate)
		}
		if errors := raw(l.rateFeature + 3); errors >= errorsFrom && rate > l.idleBelow {
			part += fmt.Sprintf(" (%.0f %% errors)", 100*min(errors, 1))
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " · ")
}

// ShortName drops what upstream names repeat: compose_backend is compose, home_read_backend is home.
func ShortName(group string) string {
	return strings.TrimSuffix(strings.TrimSuffix(group, "_backend"), "_read")
}

// GroupRates returns the rate of every group in every regime, K×groups in requests per second, the exponential of
// the mean of its logarithm; nil unless the features are LoadFeatures.
func (m *Model) GroupRates() [][]float64 {
	if m.Schema.Set != LoadFeatures {
		return nil
	}
	rates := make([][]float64, m.Mixture.K)
	for k := range rates {
		for g := range m.Schema.Groups {
			j := g * perGroup
			rates[k] = append(rates[k], max(0, math.Expm1(m.Mixture.Mean(k)[j]*m.Scaler.Deviation[j]+m.Scaler.Mean[j])))
		}
	}
	return rates
}
