// Package rival holds the policies that Trimtab's tuner is compared with. Each implements control.Policy.
//
// Formulas and searches: equal and random weights, the L3 controller, the older grid learner, knapsack (weights from
// latency curves by integer programming), rollout (candidates of any base policy played ahead in the twin).
//
// Learners, trained as a Trainee, kept as a Model and played by NewTrained: the table of value iteration over regimes,
// the deep Q-network, the td3 teacher and its students. What all of them have met is an experience; what they see is
// written by a Shape, which may include what the servers' machines say.
//
// The package does not know NGINX.
package rival
