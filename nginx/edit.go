package nginx

import (
	"context"
	"slices"
)

// PlanFunc works out a change of a configuration's files.
type PlanFunc func(*Config) ([]FileChange, error)

// Edit makes a change effective that is not one of weights: tested, written in one step, reloaded, confirmed, or put
// back, as Apply does it. plan is called again when somebody saves a file meanwhile.
func (a *Applier) Edit(ctx context.Context, plan PlanFunc) (Receipt, error) {
	return a.locked(ctx, func(r *Receipt) error {
		c, err := a.planned(plan, r)
		if err != nil || len(c.files) == 0 {
			return err
		}
		return a.commit(ctx, c, r)
	})
}

// EditRates makes limit_req_zones have the rates given, in their own units, by editing nothing but the digits: tested,
// written in one step, reloaded, confirmed, or put back, as Apply does it, and held by the same budget and circuit
// breaker.
func (a *Applier) EditRates(ctx context.Context, want map[string]int) (Receipt, error) {
	return a.locked(ctx, func(r *Receipt) error {
		c, err := a.planned(func(cfg *Config) ([]FileChange, error) { return cfg.PlanRates(want) }, r)
		if err != nil || len(c.files) == 0 {
			return err
		}
		c.forced = false
		return a.commit(ctx, c, r)
	})
}

// TestEdit has nginx -t read the files as they would be after the change, and returns the change as a diff. Nothing is
// written where a private mount namespace can be had; elsewhere the change is not tested, and tested is false.
func (a *Applier) TestEdit(ctx context.Context, plan PlanFunc) (diff string, tested bool, err error) {
	r, err := a.locked(ctx, func(r *Receipt) error {
		c, err := a.planned(plan, r)
		if err != nil || len(c.files) == 0 {
			return err
		}
		tested, err = a.validate(ctx, c.files)
		return err
	})
	return r.Diff, tested, err
}

func (a *Applier) planned(plan PlanFunc, r *Receipt) (*change, error) {
	cfg, err := readConfig(a.Config, a.readFile)
	if err != nil {
		return nil, err
	}
	if err := a.stateApart(cfg); err != nil {
		return nil, err
	}
	if err := a.trust(cfg); err != nil {
		return nil, err
	}
	last, err := a.readJournal(lastName)
	if err != nil {
		return nil, err
	}
	a.sweep(last)
	files, err := plan(cfg)
	if err != nil {
		return nil, err
	}
	r.Diff = (&Plan{Config: cfg, Files: files}).Diff()
	c := &change{
		config: cfg, last: last, before: Settings{}, weights: Settings{},
		earlier: last.ejections(), ejected: last.ejections(), forced: true,
	}
	for _, f := range files {
		if next := f.Apply(); !slices.Equal(next, f.File.Data) {
			c.files = append(c.files, newReplacement(f.File, next))
		}
	}
	return c, nil
}
