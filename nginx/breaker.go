package nginx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

const breakerName = "breaker.json"

// breakerPause is how long nothing is changed after the first failed change; it doubles with each one that follows, up
// to breakerLongest.
const (
	breakerPause   = time.Minute
	breakerLongest = time.Hour
)

// Breaker is a pause after changes that had to be taken back: it keeps a proxy that cannot reload from being asked
// again and again. It outlives the process; a confirmed change closes it.
type Breaker struct {
	Failures int       `json:"failures"` // in a row
	Until    time.Time `json:"until"`    // nothing is changed before
	Reason   string    `json:"reason"`
}

// Open reports whether changes are held at the given time. A pause longer than any that was ever begun means that the
// clock has been set back since, and counts as over.
func (b Breaker) Open(now time.Time) bool {
	return now.Before(b.Until) && b.Until.Sub(now) <= breakerLongest
}

func (b Breaker) String() string {
	return fmt.Sprintf("%d changes in a row had to be taken back, the last because: %s; held until %s", b.Failures,
		b.Reason, b.Until.Format(time.RFC3339))
}

func (b Breaker) refusal(now time.Time) error {
	return &Refusal{Reason: b.String(), RetryAfter: b.Until.Sub(now)}
}

// Breaker reads the circuit breaker; closed when there is no record of a failure.
func (a *Applier) Breaker() (Breaker, error) {
	var b Breaker
	data, err := a.readFile(filepath.Join(a.StateDir, breakerName))
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(data, &b); err != nil {
		// Damaged: hold for one pause rather than guess that all is well.
		b = Breaker{Failures: 1, Until: a.now().Add(breakerPause), Reason: "its record is damaged"}
		return b, nil //nolint:nilerr // it is said
	}
	return b, nil
}

// trip opens the breaker, for longer each time.
func (a *Applier) trip(cause error) error {
	b, err := a.Breaker()
	if err != nil {
		return err
	}
	pause := breakerLongest
	if b.Failures < 6 {
		pause = min(breakerPause<<b.Failures, breakerLongest)
	}
	b = Breaker{Failures: b.Failures + 1, Until: a.now().Add(pause), Reason: cause.Error()}
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return a.store(breakerName, data)
}

// CloseBreaker lets changes through again.
func (a *Applier) CloseBreaker() error { return a.remove(filepath.Join(a.StateDir, breakerName)) }
