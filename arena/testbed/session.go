package testbed

import (
	"context"
	"fmt"
	"sync"
	"time"

	"trimtab/loadgen"
	"trimtab/vts"
)

// session is one load on a testbed with everything that watches it.
type session struct {
	bed     *Testbed
	poller  *vts.Poller
	reader  *vts.Reader // of the control loop
	attack  *loadgen.Attack
	seen    timeline
	started time.Time
	witness witness

	loads    *loadgen.Report
	attacked chan struct{} // closed when the load has ended and loads is set
	failed   chan struct{} // closed when failure is set
	fail     func(error)   // sets failure and ends the load; only the first call counts
	failure  error
	stop     func() // ends everything beside the load and waits for it
}

// newSession starts polling, waits for the first sample, and starts load and faults. The load ends with ctx.
func newSession(ctx context.Context, bed *Testbed, cfg *WorldConfig, duration time.Duration, seed uint64) (_ *session,
	err error) {
	s := &session{bed: bed, attacked: make(chan struct{}), failed: make(chan struct{})}
	client, err := bed.statusClient(false)
	if err != nil {
		return nil, err
	}
	if s.poller, err = vts.NewPoller(client, vts.PollerConfig{Interval: cfg.PollInterval,
		Logger: cfg.Logger}); err != nil {
		return nil, err
	}
	workloads, err := Workloads(bed.Scenario, bed.URL, duration, seed)
	if err != nil {
		return nil, err
	}
	load := loadgen.Config{
		Workloads: workloads, OnResult: s.seen.record,
		Client: loadgen.ClientConfig{Timeout: bed.Scenario.Timeout.Std()},
	}
	if cfg.Progress != nil {
		load.OnSecond = func(sec loadgen.Second) {
			elapsed := min(time.Duration(sec.At*float64(time.Second)), duration)
			cfg.Progress(Progress{Elapsed: elapsed, Total: duration, RatePerSec: sec.Total.RatePerS,
				P99MS: s.attack.Snapshot().Total.Latency.P99})
		}
	}
	if s.attack, err = loadgen.New(load); err != nil {
		return nil, err
	}
	// What watches the load goes on until the load has drained, also when ctx ends meanwhile.
	side, stop := context.WithCancel(context.WithoutCancel(ctx))
	sending, stopLoad := context.WithCancel(ctx)
	var wait sync.WaitGroup
	s.stop = func() { stop(); stopLoad(); wait.Wait(); client.Close() }
	var once sync.Once
	s.fail = func(err error) {
		once.Do(func() { s.failure = err; close(s.failed); stopLoad() })
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	events := s.poller.Subscribe(64)
	wait.Go(func() { _ = s.poller.Run(side) })
	wait.Go(func() { defer events.Close(); s.record(side, events, cfg.Stats) })
	s.reader = s.poller.Reader()
	first, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := s.reader.Sample(first); err != nil {
		return nil, fmt.Errorf("read the testbed's status page: %w", err)
	}
	s.started = time.Now()
	wait.Go(func() { s.watch(side) })
	wait.Go(func() { s.witness.run(side) })
	wait.Go(func() {
		if err := bed.Backends.PlayFaults(side, s.started); err != nil && side.Err() == nil {
			s.fail(err)
		}
	})
	wait.Go(func() {
		defer close(s.attacked)
		loads, err := s.attack.Run(sending)
		if err != nil {
			s.fail(err)
			return
		}
		s.loads = loads
	})
	return s, nil
}

// record hands every status on until ctx ends, and what is left then.
func (s *session) record(ctx context.Context, events *vts.Subscription, tell func(*vts.Status) error) {
	take := func(e vts.Event) {
		if e.Status == nil || tell == nil {
			return
		}
		if err := tell(e.Status); err != nil {
			s.fail(fmt.Errorf("record statistics: %w", err))
		}
	}
	for {
		select {
		case e := <-events.C:
			take(e)
		case <-ctx.Done():
			for {
				select {
				case e := <-events.C:
					take(e)
				default:
					return
				}
			}
		}
	}
}

// watch ends the load when NGINX ends under it.
func (s *session) watch(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.bed.NGINX.Done():
		s.fail(fmt.Errorf("nginx ended during the run: see %s", s.bed.NGINX.ErrorLog()))
	}
}

// end waits for the load to end and for one more poll after it, so that the statistics hold every request, then
// stops what watched it.
func (s *session) end() (*loadgen.Report, error) {
	defer s.stop()
	select {
	case <-s.attacked:
	case <-s.failed:
		<-s.attacked
	}
	select {
	case <-s.failed:
		return nil, s.failure
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := s.poller.Reader().Sample(ctx); err != nil {
		return nil, fmt.Errorf("read the final statistics: %w", err)
	}
	return s.loads, nil
}
