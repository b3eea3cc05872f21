// Package prove finds out what tuning brought, by an experiment on live traffic: a randomised switchback between the
// operator's weights and the tuned ones.
//
//	x := prove.New(prove.Plan{Block: 10 * time.Minute, WashOut: time.Minute, Duration: 6 * time.Hour}, seed, now)
//	for !x.Ended() {
//		// put the weights of x.Arm() in force, then
//		x.Begin(now)
//		x.Observe(now, sample, used) // every control interval
//	}
//	fmt.Print(x.Result().Text())
//
// # The design
//
// Time is cut into pairs of blocks. Each pair has one block of either arm, in an order that is drawn at random and
// balanced: of two pairs in the same hour of the day one begins with the operator's weights and the other with the
// tuned ones. The first part of each block, the wash-out, is not measured: queues and connections of the other arm go
// in it.
//
// # The statistics
//
// A pair gives one difference: of the logarithms of the latencies of its two blocks, or of shares of errors and the
// like as they are. What changes slowly, such as the load over the day, cancels within a pair. From n differences with
// mean d and standard deviation s an interval follows that holds whenever it is looked at, so that the experiment may
// end as soon as it excludes no difference: the confidence sequence of the t statistic under a normal mixture,
//
//	|d − µ| ≤ s·√(t²/n),  t² = ν(c−1)/(1−c/A),  c = (√A/α)^(2/n),  A = 1 + n·g,  ν = n−1,  g = 1
//
// (Lai 1976; Pérez-Ortiz et al. 2024: the Bayes factor of the t test with effects of N(0, g) standard deviations is a
// test martingale under the right Haar prior of s). The probability that it ever excludes the truth, at any of all
// looks, is at most α = 5 %. A difference is found when the interval holds nothing within a margin that nobody minds, 1
// %: a tuner moves equal servers by that much. s² is the larger of the plain variance and the long-run variance of the
// differences, so that pairs that follow each other may be correlated.
//
// # What it does not do
//
// It sets no weights: whoever runs it does, and says when they are in force. It corrects nothing for looking at several
// measures: one of them, chosen beforehand, decides, and the others are reported beside it.
package prove
