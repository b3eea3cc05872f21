// Package scaling changes the capacity of servers through a hook of the operator's: a program that is run (Command,
// never a shell) or an HTTP call (HTTP). Bounds, a cool-down and a timeout hold whatever a policy wants; a hook that
// fails, hangs, lies or flaps is not called again for a while, and everything that is held has a reason.
//
//	s := &scaling.Scaler{Hook: scaling.Command{Change: []string{"/usr/local/bin/resize"},
//		Ask: []string{"/usr/local/bin/size"}},
//		Limits: map[string]control.ScalingLimits{"10.0.0.1:80": {Min: 1, Max: 5, CoolDown: time.Minute}}}
//	err := s.Scale(ctx, map[string]int{"10.0.0.1:80": 3})
//
// The package does not know what a unit is: slots, cores or replicas, as the operator counts them.
package scaling
