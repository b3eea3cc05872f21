package daemon

import (
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"trimtab/control"
)

// notify tells systemd; without it this does nothing.
func (d *Service) notify(state string) {
	if d.opts.Helper != nil { // whose unit it is
		d.opts.Helper.Notify(state)
		return
	}
	notifySystemd(state)
}

func notifySystemd(state string) { _, _ = daemon.SdNotify(false, state) }

// tell keeps systemd informed: the watchdog hears of every step that ends, whatever came of it.
func (d *Service) tell(out control.Outcome, err error) {
	status := out.Decision.Reason
	if held := d.heldNow(); held != "" {
		status = "holding: " + held
	}
	if err != nil {
		status = d.current().cfg.scrub(err.Error())
	}
	// A newline would end the status and begin another message.
	d.notify(daemon.SdNotifyWatchdog + "\nSTATUS=" + strings.ReplaceAll(strings.ToValidUTF8(status, "?"), "\n", "; "))
}

// watchdog is systemd's. The control loop itself answers it, between steps and after each, so that an answer means that
// the loop turns; nobody answers during a step.
type watchdog struct {
	beat  <-chan time.Time // when to answer; nil without a watchdog
	stop  func()
	limit time.Duration // 0: none is asked for
	tell  func(state string)
}

func newWatchdog(tell func(state string)) watchdog {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil || limit <= 0 {
		return watchdog{stop: func() {}}
	}
	tick := time.NewTicker(limit / 3)
	return watchdog{beat: tick.C, stop: tick.Stop, limit: limit, tell: tell}
}

// allow asks systemd for more patience when a step may take longer than the unit says.
func (w watchdog) allow(step time.Duration) {
	if w.limit > 0 {
		w.tell(fmt.Sprintf("WATCHDOG_USEC=%d", max(w.limit, patience(step)).Microseconds()))
	}
}

// patience is how long a step may take before it counts as hung.
func patience(step time.Duration) time.Duration { return step + step/4 }
