package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/prove"
	"trimtab/prove/rehearse"
)

// simulate plays experiments in the simulator and says what they found.
func (f *proveFlags) simulate(ctx context.Context, e *env) error {
	sc, err := deathstarbench.Load(f.scenario)
	if err != nil {
		return withCode(exitConfig, err)
	}
	deadlines, err := arena.Deadlines(sc)
	if err != nil {
		return withCode(exitConfig, err)
	}
	chosen, err := parsePolicy(f.policy)
	if err != nil {
		return withCode(exitUsage, err)
	}
	plan := f.plan
	if plan.Deadlines == nil {
		plan.Deadlines = map[string]float64{}
		for group, d := range deadlines {
			plan.Deadlines[group] = float64(d) / float64(time.Millisecond)
		}
	}
	results := make([]prove.Result, f.runs)
	line := newStatusLine(e)
	began, done := time.Now(), 0
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range results {
		group.Go(func() error {
			seed := f.seed + uint64(i)
			policy, err := chosen.New(ctx, arena.Case{Scenario: sc, Method: chosen.Method, Seed: seed,
				Deadlines: deadlines})
			if err != nil {
				return withCode(exitConfig, err)
			}
			x, err := rehearse.Play(ctx, sc, plan, seed, policy)
			if err != nil {
				return err
			}
			results[i] = x.Result()
			mu.Lock()
			defer mu.Unlock()
			done++
			line.show(time.Since(began), fmt.Sprintf("%d of %d experiments", done, f.runs))
			return nil
		})
	}
	err = group.Wait()
	line.done()
	if err != nil {
		return err
	}
	counts := map[prove.Verdict]int{}
	for _, r := range results {
		counts[r.Verdict]++
		if f.json {
			if err := printJSON(e.stdout, r); err != nil {
				return err
			}
			continue
		}
		e.say("seed %d, %d pairs: %s\n", r.Seed, r.Decides.Pairs, r.Headline())
	}
	if !f.json {
		e.say(
			"\n%d experiments on %s: %d better, %d worse, %d no difference, %d with too little measured\n", f.runs,
			sc.Name,
			counts[prove.Better], counts[prove.Worse], counts[prove.None], counts[prove.TooFew])
	}
	return nil
}
