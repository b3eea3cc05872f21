package arena

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"trimtab/deathstarbench"
)

// Config is what Play plays: every scenario with every policy and every seed.
type Config struct {
	Scenarios []*deathstarbench.Scenario
	Policies  []Policy
	Seeds     []uint64
	// NewWorld makes a world; nil: the simulator with its defaults. World is its name in the rows; empty: "sim".
	NewWorld func() (World, error)
	World    string
	// Parallel is how many blocks are played at once; 0: one per core. The testbed wants 1.
	Parallel int
	// OnRow is told of every finished cell, one at a time, in the order in which they finish; an error ends the arena.
	OnRow func(Row, *Trace) error
	// OnFailure is told of every cell that could not be played, one at a time; nil: they are Play's error.
	OnFailure func(*CellError)
}

// CellError says which cell could not be played.
type CellError struct {
	Scenario, Policy string
	Seed             uint64
	Err              error
}

func (e *CellError) Error() string {
	return fmt.Sprintf("scenario %s, policy %s, seed %d: %v", e.Scenario, e.Policy, e.Seed, e.Err)
}

func (e *CellError) Unwrap() error { return e.Err }

// Play plays all cells. A cell that fails does not end the others; the error joins all failures, each a *CellError.
// What had been told to OnRow by then is complete. When the context is cancelled, the error names the cells that were
// being played.
func Play(ctx context.Context, c Config) error {
	if c.World == "" {
		c.World = "sim"
	}
	if c.NewWorld == nil {
		c.NewWorld = func() (World, error) { return NewSimWorld(SimOptions{}), nil }
	}
	if c.Parallel == 0 {
		c.Parallel = runtime.GOMAXPROCS(0)
	}
	deadlines, err := c.deadlines()
	if err != nil {
		return err
	}
	a := &match{Config: c}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.Parallel)
	for _, seed := range c.Seeds {
		for i, sc := range c.Scenarios {
			group.Go(func() error { return a.block(ctx, sc, deadlines[i], seed) })
		}
	}
	return errors.Join(group.Wait(), errors.Join(a.failures...))
}

// deadlines checks the scenarios and returns the deadlines of each.
func (c *Config) deadlines() ([]map[string]time.Duration, error) {
	out := make([]map[string]time.Duration, len(c.Scenarios))
	var group errgroup.Group
	group.SetLimit(c.Parallel)
	for i, sc := range c.Scenarios {
		group.Go(func() (err error) {
			if err := checkScenario(sc); err != nil {
				return err
			}
			if out[i], err = Deadlines(sc); err != nil {
				return fmt.Errorf("scenario %s: %w", sc.Name, err)
			}
			return nil
		})
	}
	return out, group.Wait()
}

// match is one Play.
type match struct {
	Config
	mu       sync.Mutex
	failures []error
}

// block plays all policies over one scenario with one seed. It returns an error only when the arena must end.
func (a *match) block(ctx context.Context, sc *deathstarbench.Scenario, deadlines map[string]time.Duration,
	seed uint64) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	world, err := a.NewWorld()
	if err != nil {
		return fmt.Errorf("scenario %s, seed %d: %w", sc.Name, seed, err)
	}
	defer func() { err = errors.Join(err, world.Close()) }()
	type reference struct {
		row           *Row
		oracle, equal *Trace
		optimal       *pursued
	}
	references := map[string]*reference{} // by method
	for _, p := range order(a.Policies) {
		ref := references[p.Method]
		if ref == nil {
			ref = &reference{}
			references[p.Method] = ref
		}
		row, trace, score, err := playCell(ctx, world, a.World, Case{Scenario: sc, Method: p.Method, Seed: seed,
			Deadlines: deadlines}, p)
		if err != nil {
			failure := &CellError{Scenario: sc.Name, Policy: p.Name, Seed: seed, Err: err}
			if ctx.Err() != nil {
				return failure
			}
			a.fail(failure)
			continue
		}
		if score != nil {
			row.Objective = score.finish(ref.optimal)
		}
		switch p.Chooser {
		case "optimal":
			ref.optimal = score
		case "oracle":
			ref.row, ref.oracle = &row, trace
		case "equal":
			ref.equal = trace
		}
		if ref.row != nil {
			regret := row.ARTPerRequest - ref.row.ARTPerRequest
			row.RegretVsOracle = &regret
		}
		if n, ok := intervalsTo90Pct(sc, trace, ref.equal, ref.oracle); ok {
			row.IntervalsTo90Pct = &n
		}
		if err := a.tell(row, trace); err != nil {
			return &CellError{Scenario: sc.Name, Policy: p.Name, Seed: seed, Err: err}
		}
	}
	return nil
}

func (a *match) fail(e *CellError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.OnFailure != nil {
		a.OnFailure(e)
		return
	}
	a.failures = append(a.failures, e)
}

func (a *match) tell(row Row, trace *Trace) error {
	if a.OnRow == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.OnRow(row, trace)
}
