// Package rival holds the policies that Trimtab's tuner is compared with: equal weights, random weights, the L3
// controller's formula and the older grid learner. Each implements control.Policy.
//
// The package does not know NGINX.
package rival
