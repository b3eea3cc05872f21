package loadgen

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Attack sends the load of one configuration, once.
type Attack struct {
	cfg     Config
	end     time.Duration // when the last burst ends
	ran     atomic.Bool
	epoch   atomic.Pointer[time.Time] // start of the attack, nil before
	streams []*stream                 // by workload
	bursts  []*burst

	// These belong to Run.
	lastSecond time.Duration // end of the last second reported
	seconds    []Second
	total      *tally // of one second
}

// New returns the attack that cfg describes.
func New(cfg Config) (*Attack, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	a := &Attack{cfg: cfg.withDefaults(), total: newTally()}
	for i := range a.cfg.Workloads {
		w := &a.cfg.Workloads[i]
		a.end = max(a.end, w.end())
		a.streams = append(a.streams, newStream(w.Name))
		for j := range w.Bursts {
			b, err := newBurst(a, i, j)
			if err != nil {
				return nil, fmt.Errorf("load: workload %q: burst %d: %w", w.Name, j+1, err)
			}
			a.bursts = append(a.bursts, b)
		}
	}
	return a, nil
}

// Duration returns how long the attack sends.
func (a *Attack) Duration() time.Duration { return a.end }

// Started returns when Run began to send, the zero time before that; offsets in results count from it.
func (a *Attack) Started() time.Time {
	if epoch := a.epoch.Load(); epoch != nil {
		return *epoch
	}
	return time.Time{}
}

// InFlight returns how many requests have no result yet, the one that waits for a worker included.
func (a *Attack) InFlight() (n uint64) {
	for _, b := range a.bursts {
		n += b.due.unanswered()
	}
	return n
}

// Run sends the load and returns what became of it. When ctx ends, sending stops, answers are waited for as long as the
// configuration's Drain says, and the report of what was sent is returned, marked as interrupted, with a nil error.
func (a *Attack) Run(ctx context.Context) (*Report, error) {
	if a.ran.Swap(true) {
		return nil, fmt.Errorf("load: attack was already run")
	}
	hard, giveUp := context.WithCancel(context.WithoutCancel(ctx)) // ends what is in flight
	defer giveUp()
	for _, s := range a.streams {
		s.open(hard, a.cfg)
		defer s.close()
	}
	defer addProcessors(mostAtOnce(a.bursts))()
	defer collectLess()()
	epoch := time.Now()
	a.epoch.Store(&epoch)

	sending, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	for _, b := range a.bursts {
		running.Go(func() { b.run(sending, epoch) })
	}
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()

	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	interrupted := ctx.Done()
	var drained <-chan time.Time
	for {
		select {
		case <-done:
			a.closeSecond(time.Since(epoch))
			return a.report(epoch, time.Since(epoch), ctx.Err() != nil), nil
		case <-ticker.C:
			a.closeSecond(time.Since(epoch))
			followHeap()
		case <-interrupted:
			interrupted = nil
			timer := time.NewTimer(a.cfg.Drain)
			defer timer.Stop()
			drained = timer.C
		case <-drained:
			giveUp()
		}
	}
}

// burst is one arrival process on its way through vegeta.
type burst struct {
	attack          *Attack
	workload, index int
	due             dueTimes
	pacer           *pacer
	check           *gapCheck
	interrupted     atomic.Int64 // when sending was interrupted, from epoch; 0: it was not
	stream          *stream
}

func newBurst(a *Attack, workload, index int) (*burst, error) {
	spec := a.cfg.Workloads[workload].Bursts[index]
	process, err := spec.Arrival.Process(spec.Rate, spec.Seed)
	if err != nil {
		return nil, err
	}
	b := &burst{attack: a, workload: workload, index: index, stream: a.streams[workload]}
	b.pacer = &pacer{process: process, start: spec.Start, duration: spec.Duration, grace: a.cfg.LatenessBound,
		due: &b.due, workers: uint64(a.cfg.MaxWorkers)}
	b.check, err = newGapCheck(spec)
	return b, err
}

// run sends the burst and collects its results until the last one is in.
func (b *burst) run(ctx context.Context, epoch time.Time) {
	wait := time.NewTimer(time.Until(epoch.Add(b.pacer.start - early)))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return
	}
	b.pacer.begin(ctx, epoch)
	cfg := &b.attack.cfg
	attacker := vegeta.NewAttacker(
		vegeta.Client(b.stream.client), // first: it replaces the whole client
		vegeta.Workers(uint64(cfg.Workers)),
		vegeta.MaxWorkers(uint64(cfg.MaxWorkers)),
	)
	defer context.AfterFunc(ctx, func() {
		b.interrupted.Store(int64(time.Since(epoch)))
		attacker.Stop() // frees a dispatcher that waits for a worker
	})()
	for r := range attacker.Attack(cfg.Workloads[b.workload].Targeter, b.pacer, 0, "") {
		b.collect(r, epoch)
	}
	b.finish()
}

// collect takes in one result.
func (b *burst) collect(r *vegeta.Result, epoch time.Time) {
	sent := r.Timestamp.Sub(epoch)
	due, complete := b.due.take(r.Seq, sent)
	if complete != nil {
		b.check.add(complete, segmentSize)
		b.due.recycle(complete)
	}
	receipt := readReceipt(r)
	result := Result{
		Workload: b.workload, Burst: b.index, Seq: r.Seq,
		Due: due, Latency: sent - due + r.Latency, Raw: r.Latency, Lateness: sent - due,
		Code: int(r.Code), Failure: receipt.failure, BytesIn: receipt.bytesIn, BytesOut: r.BytesOut,
		Method: r.Method, URL: r.URL, Error: r.Error,
	}
	b.stream.record(&result)
	if b.attack.cfg.OnResult != nil {
		b.attack.cfg.OnResult(result)
	}
}

// finish counts what was due but never sent and checks the gaps of the last, incomplete segment.
func (b *burst) finish() {
	b.due.rest(b.check.add)
	end := b.pacer.start + b.pacer.duration
	if at := time.Duration(b.interrupted.Load()); at > 0 {
		end = min(end, at-b.pacer.grace) // what was due just then was not late yet
	}
	dropped := b.pacer.unsent(end)
	if b.pacer.last <= end {
		dropped += b.due.unanswered() // one at most: dispatched, but no worker had taken it
	}
	b.stream.drop(dropped, b.pacer.capped)
}
