// Package objective says how good an interval was, and how good a plan is predicted to be.
//
// Tardiness, the objective of Trimtab: for a group with deadline d that of an answer after t is max(0, (t−d)/d), that of a failed
// request a fixed number of deadlines. Their sum over an interval is the accumulated relative tardiness, ART; per request it is what
// policies minimise. Measure takes it from what the status page shows of an interval; Tardiness predicts it for a response time of
// given mean and variance, assumed lognormal.
//
// The package knows neither how weights are chosen nor NGINX.
package objective
