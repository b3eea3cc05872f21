// Package neural has small fully connected networks in float64, their gradients and the Adam optimiser: all that the
// learners of the literature need that Trimtab is compared with.
//
//	layer l:  Y = f(X·W_l + b_l),  X is n×d_l, W_l is d_l×d_{l+1}
//
// All parameters of a network lie in one slice, so that optimisers, target networks and files handle them as a vector:
//
//	net, err := neural.New([]int{4, 64, 64, 3}, neural.ReLU, neural.Linear, rng)
//	var pass neural.Pass
//	y := net.Forward(&pass, x, rows)          // x is rows×4, y is rows×3
//	net.Backward(&pass, dLossByDy, gradient)  // adds to gradient
//	adam.Step(net.Params, gradient)
//
// The same seed gives the same numbers on the same architecture: nothing runs in parallel. Gradients are checked
// against differences.
//
// It has no convolutions, no recurrence, no graph of operations, and uses no accelerator.
package neural
