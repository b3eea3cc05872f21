package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"trimtab/control"
	"trimtab/nginx"
	"trimtab/plain"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/words"
)

// note remembers a step for whoever asks, and logs what has changed.
func (d *Service) note(sample *vts.Sample, held string, out control.Outcome, e *tuner.Explanation, err error) {
	if errors.Is(err, context.Canceled) {
		return // being stopped is no news
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held, d.reason = held, out.Decision.Reason
	if sample != nil {
		d.sampled = time.Now()
	}
	if e != nil {
		d.explainedLast = e
	}
	if out.Applied {
		d.lastMade = time.Now()
	}
	d.noteError(err, out.Applied)
	if kind := firstWords(held); kind != d.lastWhy && kind != reloadBudget && !errors.Is(err, control.ErrTelemetry) {
		if held != "" {
			d.log.Info("changes are held", "reason", held)
		} else {
			d.log.Info("changes are no longer held")
		}
		d.lastWhy = kind
	}
	if out.Applied {
		if len(out.Decision.Weights) > 0 {
			d.log.Info("weights changed", "reason", out.Decision.Reason, "change", words.Change(control.InForce(*sample), out.Decision.Weights, e),
				"reloaded", out.Receipt.Reloaded, "took_ms", out.Receipt.Took.Milliseconds())
		}
		if change := levelsInWords(out.Receipt.Levels); change != "" {
			d.log.Info("controls changed", "reason", out.Decision.Reason, "change", change)
		}
	}
}

// levelsInWords says what is refused and which capacity servers have; empty: nothing of that was decided.
func levelsInWords(l control.Levels) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(l.Blocked)) {
		out = append(out, fmt.Sprintf("%.0f %% of %s refused", 100*l.Blocked[name], plain.Text(name)))
	}
	for _, name := range slices.Sorted(maps.Keys(l.Capacity)) {
		out = append(out, fmt.Sprintf("%s: %d units", plain.Text(name), l.Capacity[name]))
	}
	return strings.Join(out, ", ")
}

// sayAgain is how soon a failure of the same kind is logged again when its text differs.
const sayAgain = time.Minute

// noteError logs a failure when it begins, when it is another one, and when it is over; d.mu is held. A change that failed is over with
// one that succeeds: a step that changes nothing says nothing of the cause.
func (d *Service) noteError(err error, applied bool) {
	cfg := d.session.cfg
	d.noteTrouble(cfg, err)
	if err == nil {
		d.problem = ""
		if d.lastErr == "apply" && !applied {
			return
		}
		if d.lastErr != "" {
			d.log.Info("steps are completed again")
		}
		d.lastErr = ""
		return
	}
	kind, text := failureKind(err), cfg.scrub(err.Error())
	if kind == "internal" { // said by itself, with its stack
		d.problem, d.lastErr = text, kind
		return
	}
	if d.lastErr != kind || text != d.problem && time.Since(d.errSaid) >= sayAgain {
		level := slog.LevelWarn
		if rollback := (*nginx.RollbackError)(nil); errors.As(err, &rollback) {
			level = slog.LevelError
		}
		d.log.Log(context.Background(), level, "step not completed", "kind", kind, "error", text)
		d.errSaid = time.Now()
	}
	d.problem, d.lastErr = text, kind
}

// noteTrouble counts a step that failed, and notes what is over with one that did not.
func (d *Service) noteTrouble(cfg *Config, err error) {
	now, failed := time.Now(), ""
	if err != nil {
		failed = failureKind(err)
	}
	for _, kind := range []string{troubleTelemetry, troubleApply, troubleInternal} {
		switch {
		case kind == failed && kind != troubleInternal: // which have been counted where they were contained
			d.troubles.note(kind, cfg.scrub(err.Error()), now)
		case err == nil, kind == troubleTelemetry: // what failed later had telemetry
			d.troubles.note(kind, "", now)
		}
	}
}

// failureKind is what kind of failure ended a step.
func failureKind(err error) string {
	switch {
	case errors.Is(err, control.ErrTelemetry):
		return "telemetry"
	case errors.Is(err, control.ErrInternal):
		return "internal"
	}
	return "apply"
}

// firstWords is the kind of a reason: what stands before its colon.
func firstWords(reason string) string {
	kind, _, _ := strings.Cut(reason, ":")
	return kind
}
