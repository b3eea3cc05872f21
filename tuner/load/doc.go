// Package load says what load there is: which regime an interval belongs to, by the Gaussian mixture of package cluster, and learns
// the regimes when no model is given.
//
// The package knows neither servers nor weights.
package load
