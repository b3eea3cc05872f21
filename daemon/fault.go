package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"trimtab/cluster"
	"trimtab/control"
)

// internalFault begins the reason of a hold after a panic.
const internalFault = "internal fault"

// part is what an internal fault was in, as the metric names it.
type part string

const (
	inStep        part = "step"        // what the daemon does at every interval
	inPolicy      part = "policy"      // observing, choosing, being told of a change
	inExplanation part = "explanation" // of the last decision
	inState       part = "state"       // what is kept from run to run
	inMetrics     part = "metrics"
	inPage        part = "page" // the HTTP page
	inPoller      part = "poller"
	inProbe       part = "probe"
	inWatcher     part = "watcher" // of NGINX's configuration
	inFleet       part = "fleet"
	inDNS         part = "dns"    // answering NGINX, following who the servers are
	inReload      part = "reload" // of the daemon's own configuration
	inProof       part = "prove"  // the experiment
)

var allParts = []part{inStep, inPolicy, inExplanation, inState, inMetrics, inPage, inPoller, inProbe, inWatcher,
	inFleet, inDNS, inReload,
	inProof}

// faultLog counts internal faults and logs them: each one once, and again when it still happens ten minutes later.
type faultLog struct {
	mu   sync.Mutex
	said map[string]time.Time // by part and place
	more map[string]int       // not logged since
}

const sayFaultAgain = 10 * time.Minute

// faultsKept is how many different faults are told apart; beyond it they are forgotten and said again.
const faultsKept = 100

// news reports whether a fault is to be logged now, and how often it happened since it was.
func (l *faultLog) news(key string, now time.Time) (again int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, seen := l.said[key]; seen && now.Sub(at) < sayFaultAgain {
		l.more[key]++
		return 0, false
	}
	if l.said == nil || len(l.said) >= faultsKept {
		l.said, l.more = map[string]time.Time{}, map[string]int{}
	}
	again = l.more[key]
	l.said[key], l.more[key] = now, 0
	return again, true
}

// fault counts an internal fault and logs it, with the stack of a panic.
func (d *Service) fault(in part, err error) {
	d.own.faults.WithLabelValues(string(in)).Inc()
	d.trouble(troubleInternal, err)
	key, attrs := string(in)+" "+err.Error(), []any{"part", string(in), "error", err}
	if p := (*control.Panic)(nil); errors.As(err, &p) {
		key = string(in) + " " + p.Place // what it panics with may differ every time
		attrs = append(attrs, "stack", string(p.Stack))
		if w, ok := p.Value.(*cluster.WorkerPanic); ok {
			attrs = append(attrs, "worker_stack", string(w.Stack))
		}
	}
	if again, ok := d.faults.news(key, time.Now()); ok {
		if again > 0 {
			attrs = append(attrs, "times_since", again)
		}
		if name := d.writeFault(in, err); name != "" {
			attrs = append(attrs, "report", name)
		}
		d.log.Error("internal fault: the weights stay as they are, the daemon goes on; please report it", attrs...)
	}
}

// contain calls f. A panic of it becomes an internal fault that is counted and logged, and the error.
func (d *Service) contain(in part, f func()) error {
	err := control.Contain(f)
	if err != nil {
		d.fault(in, err)
	}
	return err
}

// keepRunning runs f until it returns or ctx ends; after a panic it begins again, each time a little later.
func (d *Service) keepRunning(ctx context.Context, in part, f func()) {
	const soon, late = time.Second, time.Minute
	for wait := soon; ; wait = min(2*wait, late) {
		began := time.Now()
		if d.contain(in, f) == nil || ctx.Err() != nil {
			return
		}
		if time.Since(began) > late {
			wait = soon
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// encoded is v as JSON; nil when it cannot be written, which is an internal fault: numbers that JSON does not have come
// from arithmetic that went wrong.
func (d *Service) encoded(in part, v any) json.RawMessage {
	var text json.RawMessage
	var err error
	if d.contain(in, func() { text, err = json.Marshal(v) }) != nil {
		return nil
	}
	if err != nil {
		d.fault(in, fmt.Errorf("%w: write as JSON: %w", control.ErrInternal, err))
		return nil
	}
	return text
}
