package rates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"trimtab/nginx"
)

// Admission sets the rates of limit_req_zones. Its methods may be called from several goroutines.
type Admission struct {
	Applier *nginx.Applier
	Zones   map[string]string // the zone that limits an upstream, by upstream
	// Offered says how many requests per second an upstream is offered; 0: not known, and then nothing can be refused
	// of it.
	Offered func(upstream string) float64

	mu sync.Mutex
}

// stateName is the file of the state folder that holds what the operator wrote.
const stateName = "rates.json"

// remembered is one zone: the operator's rate and the one that was written last, in its own unit.
type remembered struct {
	Operator int `json:"operator"`
	Written  int `json:"written"`
}

// refuse is a change that is not made.
func refuse(format string, args ...any) error {
	return &nginx.Refusal{Reason: fmt.Sprintf(format, args...)}
}

// Admit lets in all but the share blocked of what is offered, 0…1, by upstream; a share of 0 puts the operator's rate
// back. Nothing is changed when one of the upstreams has no zone, or one that cannot be edited.
func (a *Admission) Admit(ctx context.Context, blocked map[string]float64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	cfg, err := nginx.ReadConfig(a.Applier.Config)
	if err != nil {
		return err
	}
	known, err := a.read()
	if err != nil {
		return err
	}
	want := map[string]int{}
	for _, upstream := range slices.Sorted(maps.Keys(blocked)) {
		share := blocked[upstream]
		if !(share >= 0 && share <= 1) {
			return refuse("upstream %q: blocked share %v: want 0 to 1", upstream, share)
		}
		zone, ok := a.Zones[upstream]
		if !ok {
			return refuse("upstream %q: no limit_req_zone is named for its admission", upstream)
		}
		limit, err := cfg.Limit(zone)
		if err != nil {
			return err
		}
		k, ok := known[zone]
		if !ok || k.Written != limit.Rate { // somebody else's digits are the base
			k = remembered{Operator: limit.Rate, Written: limit.Rate}
		}
		rate := k.Operator
		if share > 0 {
			offered := 0.0
			if a.Offered != nil {
				offered = a.Offered(upstream)
			}
			if !(offered > 0) {
				return refuse("upstream %q: what it is offered is not known, and a rate that lets %.0f %% in cannot be told",
					upstream, 100*(1-share))
			}
			let := offered * (1 - share)
			if limit.PerMinute {
				let *= 60
			}
			rate = min(k.Operator, int(math.Max(1, math.Round(let))))
		}
		k.Written = rate
		known[zone], want[zone] = k, rate
	}
	return a.write(known, func() error {
		_, err := a.Applier.EditRates(ctx, want)
		return err
	})
}

// Release puts the operator's rates back; neither a budget nor a circuit breaker holds that.
func (a *Admission) Release(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	known, err := a.read()
	if err != nil || len(known) == 0 {
		return err
	}
	cfg, err := nginx.ReadConfig(a.Applier.Config)
	if err != nil {
		return err
	}
	want := map[string]int{}
	for _, zone := range slices.Sorted(maps.Keys(known)) {
		k := known[zone]
		limit, err := cfg.Limit(zone)
		if err != nil || limit.Rate != k.Written || k.Written == k.Operator {
			delete(known, zone) // gone, or somebody else's by now, or his already
			continue
		}
		k.Written = k.Operator
		known[zone], want[zone] = k, k.Operator
	}
	if len(want) == 0 {
		return nil
	}
	return a.write(known, func() error {
		_, err := a.Applier.Edit(ctx, func(c *nginx.Config) ([]nginx.FileChange, error) { return c.PlanRates(want) })
		return err
	})
}

// write remembers what is about to be written, and has it written. What the file says of a zone that could not be
// edited after all is mended by the next read: digits that are not the written ones are the operator's.
func (a *Admission) write(known map[string]remembered, edit func() error) error {
	before, err := a.read()
	if err != nil {
		return err
	}
	// Both the old and the new digits are ours while the change is under way: the operator's rate is noted first.
	if err := a.store(known); err != nil {
		return err
	}
	if err := edit(); err != nil {
		return errors.Join(err, a.store(before))
	}
	return nil
}

func (a *Admission) path() string { return filepath.Join(a.Applier.StateDir, stateName) }

func (a *Admission) read() (map[string]remembered, error) {
	out := map[string]remembered{}
	text, err := os.ReadFile(a.path())
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return nil, fmt.Errorf("read rates of the operator: %w", err)
	}
	return out, nil
}

func (a *Admission) store(known map[string]remembered) error {
	text, err := json.Marshal(known)
	if err == nil {
		err = os.MkdirAll(a.Applier.StateDir, 0o700)
	}
	temp := a.path() + ".new"
	if err == nil {
		err = os.WriteFile(temp, text, 0o600)
	}
	if err == nil {
		err = os.Rename(temp, a.path())
	}
	if err != nil {
		return fmt.Errorf("remember rates of the operator: %w", err)
	}
	return nil
}
