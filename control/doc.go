// Package control is the loop that everything with weights runs in: the daemon, the arena, the testbed and training.
// Each Step takes one sample from a Source, lets a Policy observe it and choose, has an Actuator apply what was chosen,
// and tells the policy what was committed.
//
//	loop := control.NewLoop(source, policy, actuator, control.WithHold(hold))
//	for range ticker.C {
//		outcome, err := loop.Step(ctx)
//	}
//
// What is held, refused or not confirmed is never committed, so that it costs the policy nothing. A panic of the policy
// ends the step with ErrInternal and changes no weights.
//
// The package knows neither NGINX nor HTTP, nor how weights are chosen.
package control
