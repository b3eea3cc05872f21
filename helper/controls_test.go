package helper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
)

// counted is a Scaler that notes what it was asked.
type counted struct {
	asked map[string]int
	err   error
}

func (c *counted) Scale(_ context.Context, capacity map[string]int) error {
	c.asked = maps.Clone(capacity)
	return c.err
}

func (c *counted) InForce(context.Context) (map[string]int, error) {
	return map[string]int{"10.0.0.1:80": 2, "a\xff": 3}, nil
}

func TestTheWorkerHasServersScaledByTheOperatorsProgramAlone(t *testing.T) {
	hold := filepath.Join(t.TempDir(), "hold")
	for _, c := range []struct {
		name   string
		scaler *counted
		held   bool
		want   string // in the error; empty: none
	}{
		{"as the operator allows", &counted{}, false, ""},
		{"the program's error is said", &counted{err: errors.New("outside 1 to 5")}, false, "outside 1 to 5"},
		{"no program", nil, false, "no program of [scaling]"},
		{"held", &counted{}, true, "hold file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := &Root{Applier: &nginx.Applier{StateDir: t.TempDir()}, HoldFile: hold}
			if c.scaler != nil {
				root.Controls.Scaler = c.scaler
			}
			os.Remove(hold)
			if c.held {
				if err := os.WriteFile(hold, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			client, done := joined(t, &Server{Settings: Settings{Root: root}})
			err := client.Scale(t.Context(), map[string]int{"a\xff": 4})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if c.scaler != nil && (c.scaler.asked["a\xff"] == 4) == c.held {
				t.Errorf("the program was asked for %v", c.scaler.asked)
			}
			units, err := client.Units(t.Context())
			if c.scaler == nil && err == nil || c.scaler != nil && (err != nil || units["a\xff"] != 3 || units["10.0.0.1:80"] != 2) {
				t.Errorf("units: got %v, %v", units, err)
			}
			client.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// On a real NGINX: the worker has requests refused by the operator's rate, within his limit, and when the worker is
// gone his rate is back.
func TestTheWorkerHasRequestsRefusedByTheOperatorsRate(t *testing.T) {
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	front := fmt.Sprintf("127.0.0.1:%d", ports[0])
	text := main + fmt.Sprintf("worker_processes 1;\nevents {}\nhttp {\n%s access_log off;\n limit_req_zone $server_name zone=whole:64k rate=500r/s;\n"+
		" upstream u { server 127.0.0.1:1; }\n server { listen %s; location / { limit_req zone=whole; proxy_pass http://u; } }\n}\n", instance.HTTPPaths(dir), front)
	i, err := instance.Start(t.Context(), dir, text, front)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Stop)
	root := rootOf(i)
	root.Applier.Budget = &nginx.Budget{Burst: 100, Interval: time.Nanosecond, MaxGenerations: -1}
	root.Controls = Controls{Zones: map[string]string{"u": "whole"}, MostBlocked: map[string]float64{"u": 0.5}}
	client, done := joined(t, &Server{Settings: Settings{Root: root}})
	rate := func() int {
		cfg, err := nginx.ReadConfig(i.Config)
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Limits[0].Rate
	}
	for _, c := range []struct {
		name    string
		blocked map[string]float64
		offered float64
		want    string // in the error; empty: none
		rate    int
	}{
		{"more than the operator lets refuse", map[string]float64{"u": 0.6}, 200, "want 0 to 0.5", 500},
		{"an upstream of which nothing may be refused", map[string]float64{"other": 0.1}, 200, "not one whose requests", 500},
		{"of a load that is not known", map[string]float64{"u": 0.2}, 0, "not known", 500},
		{"a quarter of 200 per second", map[string]float64{"u": 0.25}, 200, "", 150},
		{"never above the operator's", map[string]float64{"u": 0.1}, 1e6, "", 500},
		{"a half", map[string]float64{"u": 0.5}, 200, "", 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := client.Admit(t.Context(), c.blocked, map[string]float64{"u": c.offered})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if got := rate(); got != c.rate {
				t.Errorf("the rate is %d/s, want %d", got, c.rate)
			}
		})
	}
	client.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := rate(); got != 500 {
		t.Errorf("without a worker the rate is %d/s, want the operator's 500", got)
	}
	// What a helper that was killed has left is put back at the next start, whatever is configured then.
	if err := root.Admit(t.Context(), map[string]float64{"u": 0.5}, map[string]float64{"u": 200}); err != nil || rate() != 100 {
		t.Fatalf("got %v and %d/s, want 100", err, rate())
	}
	next := rootOf(i)
	next.Applier.Budget = &nginx.Budget{MaxGenerations: -1}
	if _, err := next.Recover(t.Context()); err != nil || rate() != 500 {
		t.Errorf("after a restart: got %v and %d/s, want the operator's 500", err, rate())
	}
}
