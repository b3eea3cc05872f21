package daemon

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"trimtab/control"
	"trimtab/nginx/live"
	"trimtab/pursuit"
	"trimtab/vts"
)

// admission refuses requests for a session, and goes on refusing from step to step.
type admission struct {
	lua  *live.Admission // nil: by the rates of limit_req_zones, which the root edits
	root root

	mu      sync.Mutex
	blocked map[string]float64
	refused live.Refusals
	offered map[string]float64 // per s, when a rate was set
	offers  func() map[string]float64
}

var _ control.Admitter = (*admission)(nil)

// newAdmission returns who carries out blocking shares; nil: nobody does.
func newAdmission(s *Session) (*admission, error) {
	o := s.cfg.Objective
	if !s.cfg.pursues() || o.Admission == "" {
		return nil, nil
	}
	a := &admission{blocked: map[string]float64{}, offered: map[string]float64{}}
	if o.Admission == admissionRate {
		a.root, a.offers = s.root, s.offered
		return a, nil
	}
	call := live.Config{Address: s.cfg.Actuator.Address, TokenFile: s.cfg.Actuator.TokenFile,
		Timeout: time.Duration(s.cfg.Status.Timeout),
		Token:   func() ([]byte, error) { return s.cfg.file(tokenFile) }}
	if !s.cfg.Actuator.Unseen {
		call.Prove = s.root.Answers
	}
	setter, err := live.New(call)
	if err != nil {
		return nil, err
	}
	a.lua = &live.Admission{Actuator: setter, Hold: max(renewals*time.Duration(s.cfg.Interval),
		live.DefaultAdmissionHold), Status: o.Status,
		RetryAfter: time.Duration(o.RetryAfter)}
	return a, nil
}

// offered are the requests per second that upstreams are believed to be offered.
func (s *Session) offered() map[string]float64 {
	if p, ok := s.policy.(*pursuit.Policy); ok {
		return p.Offered()
	}
	return nil
}

// renewals are the intervals that a share is in force without being renewed.
const renewals = 3

// Admit implements control.Admitter.
func (a *admission) Admit(ctx context.Context, blocked map[string]float64) (err error) {
	if a.lua != nil {
		err = a.lua.Admit(ctx, blocked)
	} else {
		offered := a.offers()
		if err = a.root.Admit(ctx, blocked, offered); err == nil {
			a.mu.Lock()
			maps.Copy(a.offered, offered)
			a.mu.Unlock()
		}
	}
	if err == nil {
		a.mu.Lock()
		maps.Copy(a.blocked, blocked)
		a.mu.Unlock()
	}
	return err
}

// Release implements control.Admitter; it does nothing when nobody is refused.
func (a *admission) Release(ctx context.Context) error {
	a.mu.Lock()
	refuses := false
	for _, share := range a.blocked {
		refuses = refuses || share > 0
	}
	a.mu.Unlock()
	if !refuses {
		return nil
	}
	var err error
	if a.lua != nil {
		err = a.lua.Release(ctx)
	} else {
		err = a.root.Release(ctx)
	}
	if err == nil {
		a.mu.Lock()
		clear(a.blocked)
		a.mu.Unlock()
	}
	return err
}

// see puts into a sample what was refused since the one before, and has the shares go on.
func (a *admission) see(ctx context.Context, sample *vts.Sample) error {
	seconds := sample.Interval.Seconds()
	if a.lua == nil {
		a.guess(sample, seconds)
		return nil
	}
	state, err := a.lua.State(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	renew := maps.Clone(a.blocked)
	a.refused.Read(time.Now(), state)
	for i := range sample.Groups {
		g := &sample.Groups[i]
		g.Refused = a.refused.Between(g.Name, sample.At.Add(-sample.Interval), sample.At)
	}
	a.mu.Unlock()
	maps.DeleteFunc(renew, func(_ string, share float64) bool { return share <= 0 })
	return a.lua.Admit(ctx, renew)
}

// rateBinds is the part of a rate that has to be carried for it to be taken for what limits: chance and what servers
// still have of before make the rest.
const rateBinds = 0.85

// guess says what was refused where nobody counts it. While a rate binds, as much is taken to be offered as when it was
// set: how much more is refused cannot be seen. When clearly less is carried than the rate, nobody is refused.
func (a *admission) guess(sample *vts.Sample, seconds float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range sample.Groups {
		g := &sample.Groups[i]
		carried, offered := float64(g.Requests()), a.offered[g.Name]*seconds
		if share := a.blocked[g.Name]; share > 0 && carried >= rateBinds*(1-share)*offered {
			g.Refused = uint64(max(0, offered-carried) + 0.5)
		}
	}
}

// letAllIn ends admission when a session ends.
func (s *Session) letAllIn(log *slog.Logger) {
	if s.admission == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.admission.Release(ctx); err != nil && !errors.Is(err, live.ErrUnreachable) {
		log.Error("admission control did not end", "error", err)
	}
}
