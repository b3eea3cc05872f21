package socialnet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"trimtab/deathstarbench"
)

// activeFault is a fault in force on a server.
type activeFault struct {
	id    int
	fault deathstarbench.Fault
}

// SetFault puts a fault in force, whatever its At and Until, and returns the id to clear it by. Faults of one kind add
// up: factors multiply, the fewest slots count, delays add; of those that are drawn for each request hangs come first,
// then sheds, then errors, one after the other.
func (s *Server) SetFault(f deathstarbench.Fault) (id int, err error) {
	f.Complete()
	if err := f.Check(); err != nil {
		return 0, fmt.Errorf("set fault on server %s: %w", s.name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	f.Server = s.name
	s.faults = append(s.faults, activeFault{id: s.nextID, fault: f})
	return s.nextID, s.enforce()
}

// ClearFault ends a fault; ok is false when there is none of that id.
func (s *Server) ClearFault(id int) (ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(a activeFault) bool { return a.id == id })
	if len(s.faults) == n {
		return false, nil
	}
	return true, s.enforce()
}

// SetSlots changes how many requests the server serves at once, at once; a capacity fault goes on meanwhile. What is in
// service in slots that go away is served to its end.
func (s *Server) SetSlots(n int) error {
	if n < 1 {
		return fmt.Errorf("set slots of server %s: %d: want at least 1", s.name, n)
	}
	s.station.resize(n)
	return nil
}

// enforce makes the faults effective. The caller holds mu.
func (s *Server) enforce() error {
	c := conditions{factor: 1}
	down := false
	var hangs, sheds, fails []injected
	for _, a := range s.faults {
		switch f := a.fault; f.Kind {
		case deathstarbench.Slowdown:
			c.factor *= f.Factor
		case deathstarbench.Capacity:
			if c.slots == 0 || f.Slots < c.slots {
				c.slots = f.Slots
			}
		case deathstarbench.Error:
			fails = append(fails, injected{probability: f.Probability, result: failed, latency: f.Latency.Std()})
		case deathstarbench.Shed:
			sheds = append(sheds, injected{probability: f.Probability, result: shed, latency: f.Latency.Std()})
		case deathstarbench.Hang:
			hangs = append(hangs, injected{probability: f.Probability, result: lost})
		case deathstarbench.Pause:
			c.paused = true
		case deathstarbench.NetworkDelay:
			c.delay += f.Delay.Std()
		case deathstarbench.Down:
			down = true
		}
	}
	c.drawn = slices.Concat(hangs, sheds, fails)
	s.station.set(c)
	if down {
		s.down()
		return nil
	}
	if err := s.up(); err != nil {
		return fmt.Errorf("bring server %s up again: %w", s.name, err)
	}
	return nil
}

// PlayFaults puts the scenario's faults in force and clears them as they are due, counted from start, until all are
// over or ctx is done, and then clears what it has set. It returns an error only when a server could not come back.
func (b *Backends) PlayFaults(ctx context.Context, start time.Time) (err error) {
	type step struct {
		at    time.Duration
		fault int
		set   bool
	}
	faults := b.scenario.Faults
	var steps []step
	for i, f := range faults {
		steps = append(steps, step{f.At.Std(), i, true}, step{f.Until.Std(), i, false})
	}
	slices.SortStableFunc(steps, func(x, y step) int { return int(x.at - y.at) })
	ids := make([]int, len(faults)) // 0: not in force
	var errs []error
	clear := func(i int) {
		if ids[i] == 0 {
			return
		}
		if _, err := b.Server(faults[i].Server).ClearFault(ids[i]); err != nil {
			errs = append(errs, err)
		}
		ids[i] = 0
	}
	defer func() {
		for i := range faults {
			clear(i)
		}
		err = errors.Join(errs...)
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, next := range steps {
		timer.Reset(time.Until(start.Add(next.at)))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		f := faults[next.fault]
		b.logger.Info("fault", "server", f.Server, "kind", f.Kind, "active", next.set)
		if !next.set {
			clear(next.fault)
			continue
		}
		id, err := b.Server(f.Server).SetFault(f)
		if err != nil {
			errs = append(errs, err)
		}
		ids[next.fault] = id
	}
	return nil
}
