package vts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// StatusSource gives one status at a time; *Client is the real one.
type StatusSource interface {
	Status(ctx context.Context) (Status, error)
}

// ErrStale is returned when the last good status is older than the poller's StaleAfter.
var ErrStale = errors.New("the last good status is stale")

// PollerConfig says how often a status is taken.
type PollerConfig struct {
	// Interval between two polls; 0 means 500 ms. Polls start at whole multiples of it after the first: a slow reply
	// shortens the wait that follows, and one that takes longer than the interval skips polls rather than shifting
	// them.
	Interval time.Duration
	// StaleAfter is the age at which the last good status no longer counts; 0 means the larger of 5 s and 5 intervals.
	StaleAfter time.Duration
	// MaxBackoff bounds the wait after failed polls, which doubles from Interval on; 0 means 10 s.
	MaxBackoff time.Duration
	// Logger is told when polling starts to fail and when it works again; nil means silence.
	Logger *slog.Logger
	// Rand spreads the waits after failures; nil means a source of the poller's own.
	Rand *rand.Rand
}

// Event is the outcome of one poll, given to every subscriber.
type Event struct {
	Status *Status // nil when the poll failed; shared by all readers, so not to be changed
	Sample *Sample // since the status before; nil when there is none, and then Err says why
	Err    error
}

// Poller takes a status at a fixed cadence and hands statuses and samples to any number of readers. No more than one
// request is in flight at any time.
type Poller struct {
	source     StatusSource
	interval   time.Duration
	staleAfter time.Duration
	maxBackoff time.Duration
	log        *slog.Logger
	rand       *rand.Rand
	asked      chan struct{} // a reader wants a status now

	mu      sync.Mutex
	series  Series
	last    *Status // last accepted
	changed chan struct{}
	subs    map[*Subscription]struct{}
	health  Health
	failing int // failed polls in a row
}

// Health counts what a Poller has seen.
type Health struct {
	Polls, Statuses, Samples uint64
	Rejected                 map[Reason]uint64
	Skipped                  uint64 // polls left out because the one before took longer than the interval
	Lost                     uint64 // events that a subscriber was too slow for
	Failing                  int    // failed polls in a row, 0 when the last one worked
	LastErr                  error  // of the last failed poll or rejected sample
	LastGood                 time.Time
	Stale                    bool
	Epochs                   uint64 // restarts and resets seen
}

// NewPoller returns a poller that asks source once Run is called.
func NewPoller(source StatusSource, cfg PollerConfig) (*Poller, error) {
	if cfg.Interval == 0 {
		cfg.Interval = 500 * time.Millisecond
	}
	if cfg.StaleAfter == 0 {
		cfg.StaleAfter = max(5*time.Second, 5*cfg.Interval)
	}
	if cfg.MaxBackoff == 0 {
		cfg.MaxBackoff = 10 * time.Second
	}
	if cfg.Interval < time.Millisecond || cfg.StaleAfter < 0 || cfg.MaxBackoff < 0 {
		return nil, fmt.Errorf("poller: interval %v, stale after %v, back-off up to %v: want at least 1ms, 0 and 0",
			cfg.Interval, cfg.StaleAfter, cfg.MaxBackoff)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return &Poller{
		source: source, interval: cfg.Interval, staleAfter: cfg.StaleAfter, maxBackoff: max(cfg.MaxBackoff,
			cfg.Interval),
		log: cfg.Logger, rand: cfg.Rand,
		asked:   make(chan struct{}, 1),
		changed: make(chan struct{}),
		subs:    map[*Subscription]struct{}{},
		health:  Health{Rejected: map[Reason]uint64{}},
	}, nil
}

// Run polls until ctx ends and returns its cause. It must not be called twice.
func (p *Poller) Run(ctx context.Context) error {
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	turn := time.Duration(0) // number of the poll that is due
	for {
		early := false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		case <-p.asked: // beside the cadence, which stays
			p.mu.Lock()
			early = !p.readSince(time.Now().Add(-p.interval / freshPart))
			p.mu.Unlock()
			if !early {
				continue
			}
		}
		p.Step(ctx)
		elapsed := time.Since(start)
		if early { // whoever was asked shortly before its turn has had it
			elapsed += p.interval / freshPart
		}
		next := elapsed/p.interval + 1
		p.mu.Lock()
		if wait := p.backoff(); wait > 0 {
			next = max(next, (time.Since(start)+wait)/p.interval)
		} else if next > turn+1 {
			p.health.Skipped += uint64(next - turn - 1)
		}
		p.mu.Unlock()
		turn = next
		timer.Reset(time.Until(start.Add(turn * p.interval)))
	}
}

// backoff returns how long to wait beyond the cadence after failed polls; p.mu is held.
func (p *Poller) backoff() time.Duration {
	if p.failing < 2 {
		return 0 // the first failure is retried at the usual time
	}
	wait := p.maxBackoff
	if shift := p.failing - 1; shift < 20 {
		wait = min(wait, p.interval<<shift)
	}
	return wait/2 + time.Duration(p.rand.Int64N(int64(wait)/2+1))
}

// Step polls once and hands the outcome to the subscribers.
func (p *Poller) Step(ctx context.Context) Event {
	st, err := p.source.Status(ctx)
	if err != nil && ctx.Err() != nil {
		return Event{Err: err} // stopping is no failure of the page
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.health.Polls++
	var ev Event
	if err != nil {
		ev.Err = err
		p.failing++
		if p.failing == 1 {
			p.log.Warn("status page does not answer", "error", err, "reason", string(ReasonOf(err)))
		}
	} else {
		if p.failing > 0 {
			p.log.Info("status page answers again", "failed_polls", p.failing)
		}
		p.failing = 0
		p.health.Statuses++
		ev.Status = &st
		var sample Sample
		if sample, err = p.series.Next(&st); err == nil {
			ev.Sample = &sample
			p.health.Samples++
		}
		ev.Err = err
		if p.series.prev == &st {
			p.last = &st
			p.health.LastGood = st.At
			close(p.changed)
			p.changed = make(chan struct{})
		}
	}
	if ev.Err != nil {
		reason := ReasonOf(ev.Err)
		if reason != ReasonFirst {
			p.health.Rejected[reason]++
			p.health.LastErr = ev.Err
		}
	}
	for s := range p.subs {
		s.offer(ev, &p.health.Lost)
	}
	return ev
}

// Health returns a copy of the counters.
func (p *Poller) Health() Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.health
	h.Rejected = make(map[Reason]uint64, len(p.health.Rejected))
	for k, v := range p.health.Rejected {
		h.Rejected[k] = v
	}
	h.Failing = p.failing
	h.Epochs = p.series.epochs
	h.Stale = p.stale()
	return h
}

// freshPart is the part of an interval that a status may be old and still count as new: two within a millisecond of the
// server's clock say nothing, and would look as if it stood still.
const freshPart = 10

// readSince reports whether the last status was asked for since; p.mu is held.
func (p *Poller) readSince(since time.Time) bool {
	return p.last != nil && !p.last.At.Add(-p.last.Took).Before(since)
}

func (p *Poller) stale() bool {
	return p.last == nil || time.Since(p.last.At) > p.staleAfter
}

// Last returns the last good status, or ErrStale when there is none that is fresh enough.
func (p *Poller) Last() (*Status, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stale() {
		if p.health.LastErr != nil {
			return p.last, fmt.Errorf("%w: %w", ErrStale, p.health.LastErr)
		}
		return p.last, ErrStale
	}
	return p.last, nil
}

// Subscribe returns a stream of the outcomes of all polls from now on; buffer is how many may wait to be read. When
// the reader is slower, the oldest ones are lost and counted. Close the subscription when done.
func (p *Poller) Subscribe(buffer int) *Subscription {
	ch := make(chan Event, max(buffer, 1))
	s := &Subscription{C: ch, ch: ch, poller: p}
	p.mu.Lock()
	p.subs[s] = struct{}{}
	p.mu.Unlock()
	return s
}

// Subscription is one reader's stream.
type Subscription struct {
	C      <-chan Event
	ch     chan Event
	poller *Poller
}

// Close ends the stream; C is not closed, so that a select on it does not spin.
func (s *Subscription) Close() {
	s.poller.mu.Lock()
	delete(s.poller.subs, s)
	s.poller.mu.Unlock()
}

func (s *Subscription) offer(ev Event, lost *uint64) {
	for {
		select {
		case s.ch <- ev:
			return
		default:
		}
		select {
		case <-s.ch:
			*lost++
		default:
		}
	}
}

// Reader gives what happened between its own calls, however many polls that spans. Each control loop has its own.
type Reader struct {
	poller *Poller
	base   *Status
	epoch  uint64
}

// Reader returns a new reader; its first Sample starts at the first status that it sees.
func (p *Poller) Reader() *Reader { return &Reader{poller: p} }

// Fresh is Sample up to now instead of up to the last poll, so that what is changed between two calls belongs to one
// sample alone: it has the poller ask at once. A page that does not answer is waited for no longer than a poll's
// interval, and not at all when it did not answer the last time.
func (r *Reader) Fresh(ctx context.Context) (Sample, error) {
	p := r.poller
	since := time.Now().Add(-p.interval / freshPart)
	timeout := time.NewTimer(p.interval)
	defer timeout.Stop()
	for asked := false; ; asked = true {
		p.mu.Lock()
		fresh, changed, failing := p.readSince(since), p.changed, p.failing
		p.mu.Unlock()
		if fresh || failing > 0 {
			return r.Sample(ctx)
		}
		if !asked {
			select {
			case p.asked <- struct{}{}:
			default: // another reader has asked
			}
		}
		select {
		case <-changed:
		case <-timeout.C:
			return r.Sample(ctx)
		case <-ctx.Done():
			return Sample{}, context.Cause(ctx)
		}
	}
}

// Sample returns what happened from the status of the call before to the newest one. It waits for a status newer
// than that; the first call waits for two. It fails with ErrStale when the page has not answered for too long, and
// with a RejectError when a restart or a clock jump lies in between: the next call starts anew after it.
func (r *Reader) Sample(ctx context.Context) (Sample, error) {
	p := r.poller
	timeout := time.NewTimer(p.staleAfter)
	defer timeout.Stop()
	for {
		p.mu.Lock()
		last, epoch, changed, lastErr := p.last, p.series.epochs, p.changed, p.health.LastErr
		p.mu.Unlock()
		switch {
		case last == nil || last == r.base:
		case r.base == nil:
			r.base, r.epoch = last, epoch
		case epoch != r.epoch:
			r.base, r.epoch = last, epoch
			return Sample{}, reject(ReasonEpoch, "NGINX was restarted, its counters were reset or a clock jumped "+
				"since the last sample")
		default:
			base := r.base
			r.base = last
			return Delta(base, last)
		}
		select {
		case <-changed:
		case <-timeout.C:
			if lastErr != nil {
				return Sample{}, fmt.Errorf("%w: %w", ErrStale, lastErr)
			}
			return Sample{}, ErrStale
		case <-ctx.Done():
			return Sample{}, context.Cause(ctx)
		}
	}
}
