package vts

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// scripted is a source that takes a while and fails when told.
type scripted struct {
	took     time.Duration
	fail     atomic.Bool
	mu       sync.Mutex
	calls    []time.Time
	inFlight atomic.Int32
	overlap  atomic.Bool
	n        atomic.Uint64
}

func (s *scripted) polls() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *scripted) Status(ctx context.Context) (Status, error) {
	if s.inFlight.Add(1) > 1 {
		s.overlap.Store(true)
	}
	defer s.inFlight.Add(-1)
	s.mu.Lock()
	s.calls = append(s.calls, time.Now())
	s.mu.Unlock()
	select {
	case <-time.After(s.took):
	case <-ctx.Done():
		return Status{}, ctx.Err()
	}
	if s.fail.Load() {
		return Status{}, reject(ReasonConnect, "refused")
	}
	st := testStatus(s.n.Add(1))
	st.At, st.NowMsec, st.Took = time.Now(), time.Now().UnixMilli(), s.took
	return *st, nil
}

// runPoller runs f beside a running poller, in a bubble of fake time.
func runPoller(t *testing.T, source *scripted, cfg PollerConfig, f func(t *testing.T, p *Poller)) {
	synctest.Test(t, func(t *testing.T) {
		cfg.Rand = rand.New(rand.NewPCG(1, 2))
		p, err := NewPoller(source, cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		f(t, p)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: got %v, want context.Canceled", err)
		}
	})
	if source.overlap.Load() {
		t.Error("got two requests in flight at once")
	}
}

func TestPollerKeepsItsCadence(t *testing.T) {
	source := &scripted{took: 30 * time.Millisecond}
	runPoller(t, source, PollerConfig{Interval: 100 * time.Millisecond}, func(t *testing.T, p *Poller) {
		time.Sleep(10*time.Second + 50*time.Millisecond)
		calls := source.polls()
		if n := len(calls); n != 101 {
			t.Errorf("got %d polls in 10 s, want 101", n)
		}
		for i, call := range calls {
			if got, want := call.Sub(calls[0]), time.Duration(i)*100*time.Millisecond; got != want {
				t.Fatalf("poll %d: got %v after the first, want %v", i, got, want)
			}
		}
		if h := p.Health(); h.Samples != 100 || h.Skipped != 0 || h.Stale || h.Failing != 0 {
			t.Errorf("got %+v, want 100 samples", h)
		}
	})
}

func TestPollerSkipsRatherThanShifts(t *testing.T) {
	source := &scripted{took: 250 * time.Millisecond}
	runPoller(t, source, PollerConfig{Interval: 100 * time.Millisecond}, func(t *testing.T, p *Poller) {
		time.Sleep(3*time.Second - 20*time.Millisecond)
		calls := source.polls()
		for i, call := range calls {
			if got := call.Sub(calls[0]); got != time.Duration(i)*300*time.Millisecond {
				t.Fatalf("poll %d: got %v after the first, want every 300 ms", i, got)
			}
		}
		if h := p.Health(); h.Skipped != 2*(h.Polls) {
			t.Errorf("got %d skipped in %d polls, want 2 each", h.Skipped, h.Polls)
		}
	})
}

func TestPollerBacksOffAndRecovers(t *testing.T) {
	source := &scripted{}
	source.fail.Store(true)
	cfg := PollerConfig{Interval: 100 * time.Millisecond, MaxBackoff: 2 * time.Second, StaleAfter: time.Second}
	runPoller(t, source, cfg, func(t *testing.T, p *Poller) {
		time.Sleep(20*time.Second + 70*time.Millisecond)
		calls := source.polls()
		if n := len(calls); n < 10 || n > 30 {
			t.Errorf("got %d polls in 20 s of failures, want some 20: up to 2 s apart", n)
		}
		for i := 2; i < len(calls); i++ {
			if gap := calls[i].Sub(calls[i-1]); gap > 2100*time.Millisecond {
				t.Errorf("got %v between polls, want at most MaxBackoff", gap)
			}
		}
		h := p.Health()
		if !h.Stale || h.Failing != len(calls) || h.Rejected[ReasonConnect] != uint64(len(calls)) {
			t.Errorf("got %+v, want stale and every poll counted", h)
		}
		if _, err := p.Last(); !errors.Is(err, ErrStale) || ReasonOf(err) != ReasonConnect {
			t.Errorf("got %v, want ErrStale with its cause", err)
		}
		source.fail.Store(false)
		time.Sleep(5 * time.Second)
		if h := p.Health(); h.Stale || h.Failing != 0 || h.Samples < 20 {
			t.Errorf("got %+v, want recovered at the old cadence", h)
		}
		if st, err := p.Last(); err != nil || st == nil {
			t.Errorf("got %v, %v", st, err)
		}
	})
}

func TestSubscribersGetEveryEventAndSlowOnesLoseTheOldest(t *testing.T) {
	source := &scripted{}
	runPoller(t, source, PollerConfig{Interval: 100 * time.Millisecond}, func(t *testing.T, p *Poller) {
		quick, slow := p.Subscribe(100), p.Subscribe(3)
		time.Sleep(time.Second + 50*time.Millisecond)
		if n := len(quick.C); n < 10 {
			t.Errorf("got %d events, want all", n)
		}
		if n := len(slow.C); n != 3 {
			t.Errorf("got %d events waiting, want 3", n)
		}
		last, _ := p.Last()
		var newest *Status
		for range 3 {
			newest = (<-slow.C).Status
		}
		if newest != last {
			t.Errorf("got status of %v, want the newest to be kept", newest.At)
		}
		if h := p.Health(); h.Lost == 0 {
			t.Error("got no lost events, want those that the slow reader missed")
		}
		slow.Close()
		quick.Close()
	})
}

func TestReaderSpansPollsAndStartsAnewAfterAnEpoch(t *testing.T) {
	source := &scripted{}
	runPoller(t, source, PollerConfig{Interval: 100 * time.Millisecond, StaleAfter: time.Second},
		func(t *testing.T, p *Poller) {
			r := p.Reader()
			if _, err := r.Sample(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3*time.Second + 50*time.Millisecond) // between two polls
			s, err := r.Sample(t.Context())
			if err != nil || s.Interval != 3*time.Second || s.Groups[0].Peers[0].Requests != 300 {
				t.Errorf("got %v with %+v, %v; want one sample over 30 polls", s.Interval, s.Groups, err)
			}
			source.n.Store(0) // restarted
			time.Sleep(300 * time.Millisecond)
			if _, err := r.Sample(t.Context()); ReasonOf(err) != ReasonEpoch {
				t.Errorf("got %v, want the restart reported", err)
			}
			if s, err := r.Sample(t.Context()); err != nil || s.Interval != 100*time.Millisecond {
				t.Errorf("got %v, %v; want a sample after the restart", s.Interval, err)
			}
			source.fail.Store(true)
			if _, err := r.Sample(t.Context()); !errors.Is(err, ErrStale) {
				t.Errorf("got %v, want ErrStale", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := r.Sample(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
		})
}

// A control loop that changes something at every step wants samples that end there, not at the last poll.
func TestFreshSamplesEndNow(t *testing.T) {
	const poll = 500 * time.Millisecond
	for _, c := range []struct {
		name  string
		after time.Duration // of a poll that a step comes
		polls int           // in 30 s: 60 by cadence, and one per step unless one is just done
		age   time.Duration // of what is known at a step, at most
	}{
		{"a step in the middle between polls", 250 * time.Millisecond, 70, 0},
		{"a step with the poll: once is enough", 0, 60, 0},
		{"a step just after the poll: what it says is new enough", 20 * time.Millisecond, 60, 20 * time.Millisecond},
		{"a step just before the poll: it has had its turn", 480 * time.Millisecond, 60, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := &scripted{}
			runPoller(t, source, PollerConfig{Interval: poll}, func(t *testing.T, p *Poller) {
				r := p.Reader()
				if _, err := r.Sample(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.after)
				if _, err := r.Fresh(t.Context()); c.after > 0 && err != nil {
					t.Fatal(err)
				}
				before, rejected := len(source.polls()), p.Health().Rejected[ReasonClock]
				for range 10 {
					time.Sleep(3 * time.Second)
					now := time.Now()
					s, err := r.Fresh(t.Context())
					if age := now.Sub(s.At); err != nil || age > c.age || s.Interval != 3*time.Second {
						t.Fatalf("got %v up to %v ago, %v; want 3s up to %v ago", s.Interval, age, err, c.age)
					}
				}
				synctest.Wait()
				if n := len(source.polls()) - before; n < c.polls-1 || n > c.polls+1 {
					t.Errorf("got %d polls, want %d", n, c.polls)
				}
				if h := p.Health(); h.Rejected[ReasonClock] != rejected || h.Skipped != 0 {
					t.Errorf("got %v rejected and %d skipped, want none", h.Rejected, h.Skipped)
				}
			})
		})
	}
}

func TestFreshDoesNotWaitForAPageThatIsGone(t *testing.T) {
	source := &scripted{}
	runPoller(t, source, PollerConfig{Interval: 500 * time.Millisecond, StaleAfter: 2 * time.Second},
		func(t *testing.T, p *Poller) {
			r := p.Reader()
			if _, err := r.Sample(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(1750 * time.Millisecond)
			source.fail.Store(true)
			began := time.Now()
			s, err := r.Fresh(t.Context())
			if took := time.Since(began); err != nil || took > 500*time.Millisecond || s.Interval != 1500*time.Millisecond {
				t.Errorf("got %v after %v, %v; want the sample up to the last poll within half a second", s.Interval, took,
					err)
			}
			began = time.Now()
			if _, err := r.Fresh(t.Context()); !errors.Is(err, ErrStale) || time.Since(began) > 2*time.Second {
				t.Errorf("got %v after %v, want ErrStale as Sample says it", err, time.Since(began))
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := r.Fresh(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
		})
}

func TestPollerLeavesNoGoroutine(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	p, err := NewPoller(&scripted{}, PollerConfig{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	sub := p.Subscribe(1)
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	<-sub.C
	sub.Close()
	cancel()
	<-done
}
