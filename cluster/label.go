package cluster

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// describe names every component by the level of each group's rate: LOW, MED or HIGH by thirds of that group's
// rate over the intervals, that is over the component means weighted by the component weights.
func (m *Model) describe() []Regime {
	mix := m.Mixture
	regimes := make([]Regime, mix.K)
	for k := range regimes {
		regimes[k] = Regime{Share: mix.Weights[k]}
	}
	if m.Schema.Set == LoadFeatures {
		parts := make([][]string, mix.K)
		for g, group := range m.Schema.Groups {
			rates := make([]float64, mix.K)
			for k := range rates {
				j := g * perGroup
				rates[k] = math.Expm1(mix.Mean(k)[j]*m.Scaler.Deviation[j] + m.Scaler.Mean[j])
			}
			low, high := weightedThirds(rates, mix.Weights)
			for k, r := range rates {
				level := "MED"
				switch {
				case r <= low:
					level = "LOW"
				case r >= high:
					level = "HIGH"
				}
				parts[k] = append(parts[k], shortName(group.Name)+" "+level)
			}
		}
		for k := range regimes {
			regimes[k].Label = strings.Join(parts[k], " · ")
		}
	}
	seen := map[string]int{}
	for k := range regimes {
		if regimes[k].Label == "" {
			regimes[k].Label = fmt.Sprintf("regime %d", k+1)
		}
		seen[regimes[k].Label]++
		if n := seen[regimes[k].Label]; n > 1 {
			regimes[k].Label += fmt.Sprintf(" #%d", n)
		}
	}
	return regimes
}

// shortName drops what upstream names repeat: compose_backend is compose, home_read_backend is home.
func shortName(group string) string {
	return strings.TrimSuffix(strings.TrimSuffix(group, "_backend"), "_read")
}

// weightedThirds returns the values at one and two thirds of the total weight.
func weightedThirds(values, weights []float64) (low, high float64) {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if values[a] < values[b] {
			return -1
		}
		return 1
	})
	low, high = values[order[0]], values[order[len(order)-1]]
	var sum float64
	for _, i := range order {
		if sum < 1.0/3 {
			low = values[i]
		}
		if sum < 2.0/3 {
			high = values[i]
		}
		sum += weights[i]
	}
	return low, high
}
