package daemon

import (
	"errors"
	"strings"
	"testing"

	"trimtab/control"
)

// A failure is over when what failed succeeds, not with the next step that has nothing to change.
func TestAFailureIsOverWhenItsCauseIs(t *testing.T) {
	broken := errors.New("nginx -t: unknown directive")
	for _, c := range []struct {
		name    string
		err     error
		applied bool // by the step after it
		over    bool
	}{
		{"a change failed, and nothing is to be changed now", broken, false, false},
		{"a change failed, and one succeeds", broken, true, true},
		{"telemetry was missing, and is back", control.ErrTelemetry, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, log, _ := testService(t, func(*Config) {})
			note := func(err error, applied bool) {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.noteError(err, applied)
			}
			note(c.err, false)
			note(nil, c.applied)
			if got := strings.Contains(log.String(), "steps are completed again"); got != c.over {
				t.Errorf("got %t, want %t: %s", got, c.over, log)
			}
		})
	}
}
