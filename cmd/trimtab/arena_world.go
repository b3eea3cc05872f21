package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"trimtab/arena"
	"trimtab/arena/testbed"
	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/nginx"
	"trimtab/nginx/live"
	"trimtab/weights"
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
		actuator := testbedActuator
		if f.actuator == "live" {
			actuator = liveTestbedActuator
		}
		w := arena.World(testbed.NewWorld(testbed.WorldConfig{
			Dir: filepath.Join(dir, "testbed"), NewActuator: actuator, Live: f.actuator == "live", Duration: f.duration,
			Logger: slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelError})),
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
			return fmt.Errorf("policy %s: the testbed's NGINX balances by %s and %s only: play %s in the simulator",
				p.Name, deathstarbench.RoundRobin, deathstarbench.LeastConn, p.Method)
		}
	}
	return nil
}

// byCall sets the weights of a testbed by the control call.
type byCall struct{ *live.Actuator }

var _ control.Actuator = byCall{}

// Apply implements control.Actuator.
func (a byCall) Apply(ctx context.Context, w weights.Set) (control.Receipt, error) {
	r, err := a.Actuator.Apply(ctx, nginx.SettingsOf(w))
	return control.Receipt{Changed: r.Changed, At: r.Confirmed, Took: r.Took}, withCode(applyCode(err), err)
}

// InForce implements control.Actuator.
func (a byCall) InForce(ctx context.Context) (weights.Set, error) {
	state, err := a.State(ctx)
	if err != nil {
		return nil, err
	}
	out := weights.Set{}
	for name, g := range state.Upstreams {
		out[name] = weights.Group{}
		for _, o := range g.Servers {
			out[name][o.Server] = weights.Setting{Weight: weights.Clamp(o.Weight), Down: o.Down}
		}
	}
	return out, nil
}

// liveTestbedActuator sets the weights of a testbed without a reload.
func liveTestbedActuator(bed *testbed.Testbed) (control.Actuator, func(), error) {
	return byCall{bed.Live}, func() {}, nil
}
