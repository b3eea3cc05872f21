package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"trimtab/control"
	"trimtab/nginx"
)

func TestExitCodes(t *testing.T) {
	boom := control.Contain(func() { panic("boom") })
	returns := func(err error) func() error { return func() error { return err } }
	tuned := func(err error) func() error { return returns(withCode(tuneCode(err), err)) }
	twice := withCode(exitConfig, fmt.Errorf("x: %w", withCode(exitUsage, errors.New("y"))))
	const fault = "trimtab: internal fault: panic at trimtab/exit_test.go:"
	for _, c := range []struct {
		name    string
		command func() error
		code    int
		want    string // begins the only line; empty: nothing is said
	}{
		{"nothing went wrong", returns(nil), exitOK, ""},
		{"an error without a code", returns(errors.New("torn\npaper")), exitFailure, "trimtab: torn; paper\n"},
		{"the innermost code wins", returns(twice), exitUsage, "trimtab: x: y\n"},
		{"interrupted", returns(context.Canceled), exitInterrupted, "trimtab: context canceled\n"},
		{"a panic", func() error { panic("boom\nboom") }, exitInternal, fault},
		{"a panic of the runtime", func() error { return fmt.Errorf("%d", []int{}[len(built)]) }, exitInternal, fault},
		{"a panic of a policy", returns(fmt.Errorf("step: %w", boom)), exitInternal, "trimtab: step: internal " +
			"fault: panic at "},
		{"an internal fault keeps its code", returns(withCode(exitConfig, boom)), exitInternal, fault},
		{"a step that was refused", tuned(&nginx.Refusal{Reason: "no"}), exitRefused, "trimtab: "},
		{"a step without telemetry", tuned(control.ErrTelemetry), exitTelemetry, "trimtab: no telemetry\n"},
		{"a step that was broken off", tuned(boom), exitInternal, fault},
	} {
		t.Run(c.name, func(t *testing.T) {
			stderr := new(buffer)
			code := end(stderr, nil, c.command)
			said, lines := stderr.String(), strings.Count(stderr.String(), "\n")
			if code != c.code || !strings.HasPrefix(said, c.want) || lines != min(len(c.want), 1) {
				t.Errorf("got code %d and %q, want %d and one line that begins with %q", code, stderr, c.code, c.want)
			}
		})
	}
}
