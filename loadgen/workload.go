package loadgen

import (
	"errors"
	"fmt"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/loadgen/arrival"
)

// Workload is one stream of requests: what is sent, and when.
type Workload struct {
	Name     string
	Targeter vegeta.Targeter // yields one request after the other; must be safe for concurrent use
	Bursts   []Burst         // at least one
}

// Burst is one arrival process that runs for a while.
type Burst struct {
	Arrival  arrival.Spec
	Rate     arrival.Rate  // over the offset from the start of the burst
	Seed     uint64        // of the arrivals
	Start    time.Duration // offset from the start of the attack
	Duration time.Duration // more than 0
}

// validate reports everything that is wrong with the workload.
func (w *Workload) validate() error {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("workload %q: "+format, append([]any{w.Name}, args...)...))
	}
	if w.Targeter == nil {
		fault("no targeter")
	}
	if len(w.Bursts) == 0 {
		fault("no burst")
	}
	for i, b := range w.Bursts {
		if err := b.validate(); err != nil {
			fault("burst %d: %w", i+1, err)
		}
	}
	return errors.Join(errs...)
}

// validate returns the first thing that is wrong with the burst.
func (b *Burst) validate() error {
	if _, err := b.Arrival.Gaps(b.Seed); err != nil {
		return err
	}
	switch {
	case b.Duration <= 0:
		return fmt.Errorf("duration %s: want more than 0", b.Duration)
	case b.Start < 0:
		return fmt.Errorf("start %s: want at least 0", b.Start)
	case b.Start+b.Duration < 0:
		return fmt.Errorf("start %s and duration %s: too long", b.Start, b.Duration)
	case b.Rate == nil:
		return errors.New("no rate")
	case !(b.Rate.Area(0, b.Duration) > 0):
		return errors.New("rate is never above 0: want a rate above 0")
	}
	return nil
}

// end is the offset at which the last burst ends.
func (w *Workload) end() (end time.Duration) {
	for _, b := range w.Bursts {
		end = max(end, b.Start+b.Duration)
	}
	return end
}
