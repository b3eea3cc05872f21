// Package gym offers Trimtab's worlds as environments with Gymnasium's contract, in Go and over HTTP and JSON, many at
// a time:
//
//	reset(seed)  → observation, info
//	step(action) → observation, reward, terminated, truncated, info
//
// Observations and actions are vectors; a Spec describes their spaces and names every number. An episode is terminated
// when the world has come to an end of its own, and truncated when only the time is over: a learner goes on counting on
// the future after a truncation.
//
// The worlds are scenarios of NGINX's weights, edge and cloud, autoscaled microservices, and Park's load balancing; IDs
// are their names.
//
//	vec, err := gym.NewVec(gym.Options{Env: gym.WeightsID, Scenario: sc, Envs: 16})
//	obs, err := vec.Reset(seeds)
//	r, err := vec.Step(actions)
//
// The environments of a Vec are stepped in parallel; one that ended begins the next episode by itself, on the following
// seed.
//
// Server speaks this over HTTP, for loopback: docs/examples/trimtab_gym.py is the client. It holds nothing but
// simulated worlds.
package gym
