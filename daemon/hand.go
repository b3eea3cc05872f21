package daemon

import (
	"context"
	"sync"

	"trimtab/control"
	"trimtab/helper"
	"trimtab/nginx"
	"trimtab/vts"
	"trimtab/weights"
)

// hand is how weights get into NGINX. What differs from one kind of actuator to another is all in its methods.
type hand interface {
	// put makes weights effective; from is what they were decided from, nil: whatever is in force.
	put(ctx context.Context, w weights.Set, from nginx.Settings) (control.Receipt, error)
	// order makes what the operator has ordered effective: it may take servers out, and no budget holds it.
	order(ctx context.Context, want nginx.Settings) (nginx.Receipt, error)
	// plan says what put would change, for people.
	plan(w weights.Set) (string, error)
	// InForce says what is in force, of every group that can be set.
	InForce(ctx context.Context) (weights.Set, error)
	// standing are the servers that could be set now, whatever their settings.
	standing(ctx context.Context) (weights.Set, error)
	// overlay puts into a sample what the page does not show of the weights in force, and leaves out groups that cannot
	// be set.
	overlay(ctx context.Context, sample *vts.Sample) error
	// mayTune says why an upstream cannot be set; empty: it can.
	mayTune(u *helper.Upstream) (why string)
	// obstacle says why no change may be made now, beside what helper.Standing says; empty when nothing stands in the
	// way.
	obstacle() string
}

// beginner is a hand that has work in the background.
type beginner interface {
	// begin starts it, until ctx ends; all then waits for it.
	begin(ctx context.Context, d *Service, all *sync.WaitGroup)
}
