package main

import (
	"context"
	"errors"

	"trimtab/control"
)

// Exit codes, as documented in docs/reference/commands.md.
const (
	exitOK          = 0
	exitFailure     = 1 // anything without a code of its own
	exitUsage       = 2
	exitConfig      = 3 // configuration, scenario or another input file; a missing or too old NGINX; an output that cannot be written
	exitTelemetry   = 4
	exitRefused     = 5  // validation refused the change
	exitReload      = 6  // reload not confirmed, rolled back
	exitRollback    = 7  // rollback failed
	exitLimit       = 8  // a threshold of --fail-if was crossed
	exitInternal    = 70 // a fault of the program itself: a panic
	exitInterrupted = 130
)

// exitError carries the exit code that an error ends the process with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// withCode gives err the exit code; nil stays nil, and a code given deeper down wins.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	if e := (*exitError)(nil); errors.As(err, &e) {
		return err
	}
	return &exitError{code: code, err: err}
}

// exitCode maps what a command returned to the code of the process.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	e := (*exitError)(nil)
	switch {
	case errors.Is(err, control.ErrInternal): // whatever code it was given on its way
		return exitInternal
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailure
}
