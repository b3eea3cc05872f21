package vts

import (
	"errors"
	"fmt"
)

// Reason says why a reply or a sample was rejected; it labels the health counters.
type Reason string

const (
	ReasonConnect  Reason = "connect"     // no connection, or it broke
	ReasonTimeout  Reason = "timeout"     // no complete reply in time
	ReasonHTTP     Reason = "http_status" // a status other than 200
	ReasonTooLarge Reason = "too_large"   // the body passed its limit
	ReasonNotJSON  Reason = "not_json"    // HTML, empty, anything that does not start as a JSON object
	// JSON that is broken, cut off, or holds a number that no counter can have
	ReasonMalformed  Reason = "malformed"
	ReasonMissing    Reason = "missing_field"    // JSON, but not a status page: something needed is absent
	ReasonNoUpstream Reason = "no_upstream"      // a page that shows no upstream group, or that of another module
	ReasonGap        Reason = "gap"              // a recording was interrupted: nobody looked in between
	ReasonDuplicate  Reason = "duplicate_group"  // the same upstream group twice
	ReasonEpoch      Reason = "epoch"            // a counter went down or the zone changed: restart or reset
	ReasonClock      Reason = "clock"            // the server's clock stood still, went back or jumped
	ReasonGeneration Reason = "older_generation" // answered by a worker of the configuration before the last one seen
	ReasonAbsurd     Reason = "absurd"           // a difference that no server can have made in the interval
	ReasonFirst      Reason = "first"            // nothing to compare with yet
	ReasonOther      Reason = "other"
)

// RejectError is why a reply or a sample was not used.
type RejectError struct {
	Reason Reason
	Err    error
}

func (e *RejectError) Error() string { return e.Err.Error() }
func (e *RejectError) Unwrap() error { return e.Err }

func reject(reason Reason, format string, args ...any) error {
	return &RejectError{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// ReasonOf returns the reason that err carries: ReasonOther when it carries none and "" for nil.
func ReasonOf(err error) Reason {
	if err == nil {
		return ""
	}
	if e := (*RejectError)(nil); errors.As(err, &e) {
		return e.Reason
	}
	return ReasonOther
}
