package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"trimtab/control"
	"trimtab/daemon"
	"trimtab/vts"
	"trimtab/weights"
)

// failing is a learner that panics the first times that it observes, and the first time that a change of its is in
// force.
type failing struct {
	control.Policy
	observes, commits *atomic.Int64 // panics left
}

func (f failing) Observe(s vts.Sample, w weights.Set) {
	if f.observes.Add(-1) >= 0 {
		panic("played: Observe")
	}
	f.Policy.Observe(s, w)
}

func (f failing) Committed(r control.Receipt) {
	if f.commits.Add(-1) >= 0 {
		panic("played: Committed")
	}
	f.Policy.Committed(r)
}

// The daemon on a real NGINX outlives the panics of its learner, keeps the weights, and knows whose they are.
func TestE2EDaemonOutlivesInternalFaults(t *testing.T) {
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("on_exit = \"restore\"")
	b.load()
	before := b.weights()
	cfg, err := daemon.ReadConfig(b.config)
	if err != nil {
		t.Fatal(err)
	}
	var observes, commits atomic.Int64
	observes.Store(1)
	commits.Store(1)
	log := new(buffer)
	d, err := daemon.New(cfg, daemon.Options{
		Version: "test", Logger: slog.New(slog.NewTextHandler(log, nil)),
		NewPolicy: func(c *daemon.Config) (control.Policy, error) {
			p, err := daemon.NewPolicy(c)
			return failing{Policy: p, observes: &observes, commits: &commits}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer cancel()
	faults := func(n string) func() bool {
		return func() bool { return b.metric(`trimtab_internal_faults_total{part="policy"}`) == n }
	}
	await(t, "the panic in Observe", func() bool {
		return b.number(`trimtab_internal_faults_total{part="policy"}`) >= 1
	})
	await(t, "the panic in Committed, with the change in force", faults("2"))
	tuned := b.weights()
	if fmt.Sprint(tuned) == fmt.Sprint(before) {
		t.Errorf("weights %v: want the change that was confirmed", tuned)
	}
	await(t, "the change on the metrics page", b.counted("trimtab_changes_total"))
	b.goesOn()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended: %v", err)
	}
	if after := b.weights(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("restored %v, want the operator's %v: %s", after, before, log)
	}
	for _, want := range []string{"played: Observe", "played: Committed", "tune_internal_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log: %s, want %s in it", log, want)
		}
	}
}
