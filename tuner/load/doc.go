// Package load says what load there is: how many requests arrive (Rate), which regime an interval belongs to, by the
// Gaussian mixture of package cluster (Regimes), learned when no model is given, and which regime is likely to follow
// within some seconds (Forecast).
//
// The package knows neither servers nor weights.
package load
