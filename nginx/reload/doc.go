// Package reload is the actuator of NGINX as the packages ship it: it edits the weights in the configuration files,
// reloads, and waits until the status page shows them. The transaction itself is nginx.Applier's; this package is the
// seam between it, the loop of package control and the pages of package vts.
//
//	a := reload.Actuator{Applier: &nginx.Applier{Config: "/etc/nginx/nginx.conf", StateDir: dir,
//		Status: reload.StatusOf(client)}}
//	receipt, err := a.Apply(ctx, want)
//
// It keeps no state and limits nothing: budgets, the circuit breaker and the journal are the applier's.
package reload
