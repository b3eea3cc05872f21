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
	for _, c := range []struct {
		name    string
		command func() error
		code    int
		want    string // begins the only line; empty: nothing is said
	}{
		{"nothing went wrong", func() error { return nil }, exitOK, ""},
		{"an error without a code", func() error { return errors.New("torn\npaper") }, exitFailure, "trimtab: torn; paper\n"},
		{"the innermost code wins", func() error { return withCode(exitConfig, fmt.Errorf("x: %w", withCode(exitUsage, errors.New("y")))) }, exitUsage, "trimtab: x: y\n"},
		{"interrupted", func() error { return context.Canceled }, exitInterrupted, "trimtab: context canceled\n"},
		{"a panic", func() error { panic("boom\nboom") }, exitInternal, "trimtab: internal fault: panic at trimtab/exit_test.go:"},
		{"a panic of the runtime", func() error { return fmt.Errorf("%d", []int{}[len(processesOf(t, "\x00"))]) }, exitInternal, "trimtab: internal fault: panic at trimtab/exit_test.go:"},
		{"a contained panic of a policy", func() error { return fmt.Errorf("step: %w", boom) }, exitInternal, "trimtab: step: internal fault: panic at "},
		{"an internal fault keeps its code whatever it is given", func() error { return withCode(exitConfig, boom) }, exitInternal, "trimtab: internal fault: "},
		{"a step that was refused", func() error { err := error(&nginx.Refusal{Reason: "no"}); return withCode(tuneCode(err), err) }, exitRefused, "trimtab: "},
		{"a step without telemetry", func() error { return withCode(tuneCode(control.ErrTelemetry), control.ErrTelemetry) }, exitTelemetry, "trimtab: no telemetry\n"},
		{"a step that was broken off", func() error { return withCode(tuneCode(boom), boom) }, exitInternal, "trimtab: internal fault: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			stderr := new(buffer)
			code := end(stderr, c.command)
			if code != c.code || !strings.HasPrefix(stderr.String(), c.want) || strings.Count(stderr.String(), "\n") != min(len(c.want), 1) {
				t.Errorf("got code %d and %q, want %d and one line that begins with %q", code, stderr, c.code, c.want)
			}
		})
	}
}
