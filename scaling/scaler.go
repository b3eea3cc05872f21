package scaling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"trimtab/control"
)

// Scaler carries out what a policy wants of the capacity of servers. It may be used from several goroutines.
type Scaler struct {
	Hook   Hook
	Limits map[string]control.ScalingLimits // by server
	// Timeout of one call of the hook; 0 means 30 s.
	Timeout time.Duration
	// Confirm is how long a change may take until the hook says so; 0 means 30 s. A hook that is blind is believed.
	Confirm time.Duration
	DryRun  bool             // log what would be called, and call nothing
	Clock   func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: silence
	Poll    time.Duration    // between two questions while a change is confirmed; 0 means 200 ms

	mu    sync.Mutex
	known map[string]*record
}

// record is what is known of one server.
type record struct {
	units   int       // that were set last and confirmed; 0: none were
	at      time.Time // when
	faults  int       // in a row
	rests   time.Time // until when it is not called
	why     string    // of the rest
	foreign int       // times that somebody else had changed what was set
}

const (
	defaultTimeout = 30 * time.Second
	defaultConfirm = 30 * time.Second
	defaultPoll    = 200 * time.Millisecond
	firstRest      = time.Minute // after a fault; it doubles with every further one
	longestRest    = time.Hour
	flapping       = 3 // changes by somebody else that are no chance any more
)

// Held is a change that is not made, with the reason for people.
type Held struct {
	Server string
	Reason string
}

func (h *Held) Error() string { return fmt.Sprintf("scaling of %s is held: %s", h.Server, h.Reason) }

// ErrLied says that a hook reported success and the server has other units.
var ErrLied = errors.New("the hook reported success without effect")

var _ control.Scaler = (*Scaler)(nil)

// Scale implements control.Scaler: servers in the order of their names, and the first that cannot be changed ends it.
// What is beyond the limits, too soon after the last change, or asked of a hook that rests is a *Held.
func (s *Scaler) Scale(ctx context.Context, capacity map[string]int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, server := range slices.Sorted(maps.Keys(capacity)) {
		if err := s.may(server, capacity[server]); err != nil {
			return err
		}
	}
	for _, server := range slices.Sorted(maps.Keys(capacity)) {
		if err := s.change(ctx, server, capacity[server]); err != nil {
			return err
		}
	}
	return nil
}

// InForce says what the hook says that servers have, of those that it can say it of.
func (s *Scaler) InForce(ctx context.Context) (map[string]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for _, server := range slices.Sorted(maps.Keys(s.Limits)) {
		n, err := s.get(ctx, server)
		if errors.Is(err, ErrBlind) {
			continue
		}
		if err != nil {
			return out, err
		}
		out[server] = n
	}
	return out, nil
}

// Reason says why the capacity of a server may not be changed now; empty: it may.
func (s *Scaler) Reason(server string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.of(server); s.now().Before(r.rests) {
		return r.why
	}
	return ""
}

func (s *Scaler) now() time.Time {
	if s.Clock != nil {
		return s.Clock()
	}
	return time.Now()
}

func (s *Scaler) log() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.New(slog.DiscardHandler)
}

func (s *Scaler) of(server string) *record {
	if s.known == nil {
		s.known = map[string]*record{}
	}
	if s.known[server] == nil {
		s.known[server] = &record{}
	}
	return s.known[server]
}

// may says why a change may not be made.
func (s *Scaler) may(server string, units int) error {
	l, ok := s.Limits[server]
	if !ok || !l.On() {
		return &Held{server, "its capacity is no control"}
	}
	if units < l.Min || units > l.Max {
		return &Held{server, fmt.Sprintf("%d units are outside %d to %d", units, l.Min, l.Max)}
	}
	r := s.of(server)
	now := s.now()
	if now.Before(r.rests) {
		return &Held{server, fmt.Sprintf("%s (for another %s)", r.why, r.rests.Sub(now).Round(time.Second))}
	}
	if left := l.CoolDown - now.Sub(r.at); !r.at.IsZero() && left > 0 {
		return &Held{server, fmt.Sprintf("it cools down for another %s", left.Round(time.Second))}
	}
	return nil
}

// change has one server have so many units.
func (s *Scaler) change(ctx context.Context, server string, units int) error {
	r := s.of(server)
	if s.DryRun {
		s.log().Info("dry run: the scaling hook would be called", "server", server, "units", units)
		return &Held{server, fmt.Sprintf("dry run: the hook would be asked for %d units", units)}
	}
	now, err := s.get(ctx, server)
	blind := errors.Is(err, ErrBlind)
	switch {
	case blind:
	case err != nil:
		return s.fault(server, err)
	case r.units != 0 && now != r.units:
		if r.foreign++; r.foreign >= flapping {
			r.foreign = 0
			return s.fault(server, fmt.Errorf("it flaps: it had %d units and has %d, and nobody here changed them",
				r.units, now))
		}
		s.log().Warn("somebody else changed the capacity", "server", server, "units", now, "set", r.units)
		fallthrough
	default:
		if now == units {
			r.units, r.at = units, s.now()
			return nil
		}
	}
	call, cancel := context.WithTimeout(ctx, or(s.Timeout, defaultTimeout))
	err = s.Hook.Set(call, server, units)
	cancel()
	if err == nil && !blind {
		err = s.confirm(ctx, server, units)
	}
	if err != nil {
		return s.fault(server, err)
	}
	*r = record{units: units, at: s.now(), foreign: r.foreign}
	s.log().Info("capacity changed", "server", server, "units", units)
	return nil
}

// confirm asks until the server has the units.
func (s *Scaler) confirm(ctx context.Context, server string, units int) error {
	ctx, cancel := context.WithTimeout(ctx, or(s.Confirm, defaultConfirm))
	defer cancel()
	tick := time.NewTicker(or(s.Poll, defaultPoll))
	defer tick.Stop()
	for {
		n, err := s.get(ctx, server)
		if err == nil && n == units {
			return nil
		}
		select {
		case <-ctx.Done():
			if err != nil {
				return err
			}
			return fmt.Errorf("%w: %d units were asked for, and it has %d", ErrLied, units, n)
		case <-tick.C:
		}
	}
}

func (s *Scaler) get(ctx context.Context, server string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, or(s.Timeout, defaultTimeout))
	defer cancel()
	return s.Hook.Get(ctx, server)
}

// fault has the hook of a server rest, longer with every fault in a row.
func (s *Scaler) fault(server string, err error) error {
	r := s.of(server)
	rest := firstRest
	for range r.faults {
		rest = min(2*rest, longestRest)
	}
	r.faults++
	r.rests, r.why = s.now().Add(rest), err.Error()
	s.log().Warn("the scaling hook failed and rests", "server", server, "rest", rest, "error", err)
	return fmt.Errorf("scale %s: %w", server, err)
}

func or(d, standard time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return standard
}
