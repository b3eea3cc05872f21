// Package tuner decides upstream weights: the objective, the latency model, the proposals, the per-cluster
// Q-learner, the safety gate and the control loop. It knows neither how the status is fetched nor how weights reach
// NGINX: a Source gives samples, a Policy decides, an Actuator applies.
package tuner
