package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/trusted"
)

// play plays the cells that are not in the folder yet, and returns all.
func (f *leaderFlags) play(ctx context.Context, e *env, scenarios []*deathstarbench.Scenario,
	policies []arena.Policy) ([]arena.LeaderCell, error) {
	path := filepath.Join(f.out, "cells.ndjson")
	cells, err := readCells(path)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	file, err := trusted.Create(path, 0o644, true)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	defer file.Close()
	var seeds []uint64
	for i := range f.seeds {
		seeds = append(seeds, f.seed+uint64(i))
	}
	cells = slices.DeleteFunc(cells, func(c arena.LeaderCell) bool {
		return c.Build != version || !slices.Contains(seeds, c.Seed) ||
			!slices.ContainsFunc(scenarios, func(s *deathstarbench.Scenario) bool { return s.Name == c.Scenario }) ||
			!slices.ContainsFunc(policies, func(p arena.Policy) bool { return p.Name == c.Policy })
	})
	f.replayed = len(cells)
	progress := newArenaProgress(e, len(scenarios)*len(policies)*len(seeds))
	progress.done = len(cells)
	watch := arena.NewStopwatch()
	for _, sc := range scenarios {
		for _, p := range policies {
			left := slices.DeleteFunc(slices.Clone(seeds), func(s uint64) bool {
				return slices.ContainsFunc(cells, func(c arena.LeaderCell) bool {
					return c.Seed == s && c.Policy == p.Name && c.Scenario == sc.Name
				})
			})
			if len(left) == 0 {
				continue
			}
			err := arena.Play(ctx, arena.Config{Scenarios: []*deathstarbench.Scenario{sc},
				Policies: []arena.Policy{watch.Time(p)}, Seeds: left, Parallel: f.parallel,
				OnRow: func(r arena.Row, _ *arena.Trace) error {
					c := watch.Cell(r)
					c.Build = version
					cells = append(cells, c)
					progress.add()
					return appendJSON(file, c)
				}})
			if err != nil {
				progress.end()
				if ctx.Err() != nil {
					return nil, withCode(exitInterrupted, fmt.Errorf("interrupted: %d cells are complete and kept in %s",
						len(cells), path))
				}
				return nil, err
			}
		}
	}
	progress.end()
	return cells, nil
}

// readCells reads what is finished; a last line that was cut off is left out.
func readCells(path string) ([]arena.LeaderCell, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read finished cells: %w", err)
	}
	defer file.Close()
	var out []arena.LeaderCell
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var c arena.LeaderCell
		if json.Unmarshal(lines.Bytes(), &c) == nil {
			out = append(out, c)
		}
	}
	return out, lines.Err()
}
