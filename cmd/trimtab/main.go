// Command trimtab tunes the upstream weights of an open-source NGINX while it serves traffic, and brings what is
// needed to measure that: a load generator, a telemetry recorder, a regime model, a simulator and a testbed.
//
// Each file holds one command; the packages do the work and this package only wires them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the Makefile from git.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once: the first one has already begun the orderly stop.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
