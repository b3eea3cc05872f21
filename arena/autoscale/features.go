package autoscale

import "math"

// Features are the names of what a learner sees after an interval.
func (w *World) Features() []string {
	out := []string{"rate_per_s", "forecast_per_s", "log1p_10_mean_s"}
	for _, s := range w.Services {
		out = append(out, s.Name+"/utilisation", s.Name+"/log1p_waiting", s.Name+"/replicas", s.Name+"/cpus")
	}
	return out
}

// FeaturesTo writes them.
func (s *Seen) FeaturesTo(x []float64) {
	x[0], x[1], x[2] = s.RatePerSec, s.Forecast, math.Log1p(10*s.MeanSec)
	for i, size := range s.Sizes {
		copy(x[3+4*i:], []float64{s.Utilisation[i], math.Log1p(float64(s.Waiting[i])), float64(size.Replicas),
			CPUs()[size.CPU]})
	}
}
