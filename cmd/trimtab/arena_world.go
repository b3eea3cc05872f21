package main

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"trimtab/arena"
	"trimtab/arena/testbed"
	"trimtab/deathstarbench"
)

func chooserNames() []string { return slices.Sorted(maps.Keys(choosers(nil))) }

// newTestbedWorld returns what makes the testbed as a world, below the output directory or a temporary one.
func newTestbedWorld(e *env, f *arenaFlags) func() (arena.World, error) {
	return func() (arena.World, error) {
		dir, temporary := f.out, false
		if dir == "" {
			var err error
			if dir, err = os.MkdirTemp("", "trimtab-arena-"); err != nil {
				return nil, fmt.Errorf("make a directory for the testbed: %w", err)
			}
			temporary = true
		}
		w := arena.World(testbed.NewWorld(testbed.WorldConfig{
			Dir: filepath.Join(dir, "testbed"), NewActuator: testbedActuator, Logger: slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		}))
		if temporary {
			w = removingWorld{w, dir}
		}
		return w, nil
	}
}

// removingWorld removes the testbed's directory at the end.
type removingWorld struct {
	arena.World
	dir string
}

func (w removingWorld) Close() error {
	err := w.World.Close()
	if e := os.RemoveAll(w.dir); err == nil {
		err = e
	}
	return err
}

// checkTestbedPolicies refuses methods that NGINX 1.22 does not have.
func checkTestbedPolicies(policies []arena.Policy) error {
	for _, p := range policies {
		if p.Method != "" && p.Method != deathstarbench.RoundRobin && p.Method != deathstarbench.LeastConn {
			return fmt.Errorf("policy %s: the testbed's NGINX balances by %s and %s only: play %s in the simulator", p.Name, deathstarbench.RoundRobin, deathstarbench.LeastConn, p.Method)
		}
	}
	return nil
}
