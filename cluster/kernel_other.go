//go:build !amd64

package cluster

// newKernel returns the loops for this machine.
func newKernel() kernel { return portableKernel() }
