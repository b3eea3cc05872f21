// Package cluster finds the load regimes of an NGINX in stored or live statistics, and says which one it is now.
//
// A Schema turns a vts.Sample into a vector of features; a Scaler standardises it; a Mixture of K Gaussians
//
//	p(x) = Σ_k w_k N(x | μ_k, Σ_k)
//
// fitted by expectation maximisation (Dempster, Laird and Rubin 1977) describes how such vectors are distributed,
// each component being one regime. A Model holds the three together with a label per regime, and is what is written
// to disk, what the offline analysis reads and what the daemon asks:
//
//	schema, err := cluster.NewSchema(cluster.LoadFeatures, sample)
//	model, err := cluster.FitModel(schema, x, cluster.Settings{K: 27})
//	assignment := model.Assign(model.NewWorkspace(), features)
//
// Weights are the control and never a feature: a regime describes the load that arrives, not what we do about it.
//
// The package does not read the status page (package vts), does not choose weights (package tuner), and treats
// successive intervals as independent given their regime: how regimes follow each other is counted afterwards
// (Transitions), not part of the fit.
package cluster
