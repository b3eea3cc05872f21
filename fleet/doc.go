// Package fleet holds what several NGINX nodes in front of the same servers say to each other, and the rules by which
// they believe it.
//
// A node reports what it saw in an interval, a Sample. The centre audits it (Auditor), adds up what all nodes saw into
// one sample of the whole load (Sum), lets one control.Policy observe that and choose, and tells every node its Plan. A
// node takes a plan only when it is newer than the last one, fresh, and within its own limits (Check), and goes on
// alone, with a small policy that it was given (Student) and the one that it runs itself, while nobody is to be heard
// (Node).
//
//	c, err := fleet.NewCentre(fleet.CentreConfig{Policy: policy})
//	verdict := c.Receive(sample, now)    // of any node, at any time
//	for _, plan := range c.Step(now) {   // once per interval
//		send(plan)
//	}
//
// # How much one node can move
//
// Where three nodes or more measure a server, none of them has more say than two nodes of median load, what it says of
// how the server answers is bounded to twice and half of the median, and what it says of how requests are spread in the
// same way: see Sum. With two nodes nobody can tell who is wrong.
//
// The package speaks to nobody: package bus carries the values over NATS, and the simulator's arena uses the same ones.
// It knows no files of NGINX, and no tuner.
package fleet
