// Package twin says what a change of weights will bring before it is made: the simulator, package sim, is built from
// what is believed of the servers, and played from the queues that are believed to stand now, once with the weights in
// force and once with those of the change.
//
// # The model
//
// A Case is played Settings.Samples times. For each sample one number of slots of every server is drawn by its
// probability, its speed from the lognormal distribution of its service time, the spread of service times and the load
// of each group around what was learned of them. Both plays of a sample have the same arrivals and sizes of requests
// (common random numbers), so that their difference is one of the weights. What has the 99th percentile p_s in sample s
// is forecast as
//
//	log p99 ~ median(log p_s), standard deviation √(Var(log p_s) + modelSD²),
//
// the second part being what the model itself is wrong by. Low and High of a Range are the 5th and 95th percentile.
//
// A play that would cost more than its part of Settings.Requests stops earlier, and stands for the rest of the horizon
// with its last quarter.
//
//	f, err := twin.Play(c, hold, change, twin.Settings{HorizonSec: 60}, rng)
//	f.Change.P99.Median, f.Better // seconds, probability
//
// A Watch compares the forecast of the last change with the histogram of the status page; its Score keeps what became
// of them.
//
// The package knows neither how weights are chosen nor NGINX, and changes nothing that it is given.
package twin
