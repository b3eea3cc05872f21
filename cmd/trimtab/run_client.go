package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"trimtab/nginx/lua"
	"trimtab/vts"
)

// clientFlags are the flags of run's client-node mode.
type clientFlags struct{ lb, status, rates string }

func (f *clientFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.lb, "lb", "", "client node: drive the NGINX at this URL; nothing is started or tuned here")
	fl.StringVar(&f.status, "status", "", "with --lb: its status page (default: "+lua.StatusPath+" there)")
	fl.StringVar(&f.rates, "random-rate", "", "with --lb: range of every workload's rates in requests per second, such as 100:2000 "+
		"(default: up to a quarter of the rate at which answers begin to be slow, which a ramp finds first)")
}

// clientDuration is the length of the client node's schedule, as the older generator had it.
const clientDuration = 5 * time.Hour

// pollInterval is how often the client node reads the status page.
const pollInterval = 500 * time.Millisecond

// runClient drives an NGINX with the randomised schedule and records its status page until the load ends.
func runClient(ctx context.Context, e *env, f *runFlags, args []string) error {
	if len(args) != 1 {
		return withCode(exitUsage, errors.New("--lb: name the statistics file too, such as stats.ndjson"))
	}
	if u, err := url.Parse(f.client.lb); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return withCode(exitUsage, fmt.Errorf("--lb %s: want a URL such as http://nginx.example", f.client.lb))
	}
	path := args[0]
	lb := strings.TrimRight(f.client.lb, "/")
	if f.client.status == "" {
		f.client.status = lb + lua.StatusPath
	}
	if f.duration == 0 {
		f.duration = clientDuration
	}
	client, err := vts.NewClient(vts.ClientConfig{URL: f.client.status})
	if err != nil {
		return withCode(exitUsage, err)
	}
	defer client.Close()
	if _, err := client.Status(ctx); err != nil {
		return withCode(exitTelemetry, fmt.Errorf("%w: name the page with --status", err))
	}
	if f.client.rates == "" {
		knee, err := findKnee(ctx, e, lb, f.seed)
		if err != nil {
			return err
		}
		f.client.rates = knee.rates()
		fmt.Fprintf(e.stderr, "%s: rates are drawn from %s per second and workload; --random-rate says otherwise\n", knee, f.client.rates)
	}
	poller, err := vts.NewPoller(client, vts.PollerConfig{Interval: pollInterval, Logger: slog.New(slog.NewTextHandler(e.stderr, nil))})
	if err != nil {
		return err
	}
	recorder, err := vts.OpenRecorder(vts.RecorderConfig{Path: path, SyncEvery: 5 * time.Second})
	if err != nil {
		return withCode(exitConfig, err)
	}
	collecting, stopCollecting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCollecting()
	loading, stopLoading := context.WithCancelCause(ctx)
	defer stopLoading(nil)
	collected := make(chan vts.CollectReport, 1)
	go func() {
		report, err := vts.Collect(collecting, vts.CollectConfig{Poller: poller, Recorder: recorder})
		if err = errors.Join(err, recorder.Close()); err != nil {
			stopLoading(withCode(exitConfig, fmt.Errorf("collect statistics: %w", err)))
		}
		collected <- report
	}()
	err = runLoad(loading, e, clientLoad(f, lb, path))
	// Two more polls hold what was in flight at the end.
	select {
	case <-time.After(2 * pollInterval):
	case <-loading.Done():
	}
	stopCollecting()
	report := <-collected
	if cause := context.Cause(loading); cause != nil && ctx.Err() == nil {
		err = cause
	}
	if report.Statuses == 0 && err != nil {
		_ = os.Remove(path) // nothing is in it
		return err
	}
	if ctx.Err() == nil {
		report.Ended = "load ended"
	}
	return errors.Join((&collectFlags{out: path}).summary(e, report), err)
}

// clientLoad is the load of the client node: the randomised schedule of the three workloads.
func clientLoad(f *runFlags, lb, stats string) *loadFlags {
	var load loadFlags
	defaults := pflag.NewFlagSet("", pflag.ContinueOnError)
	load.what.add(defaults)
	load.when.add(defaults)
	load.client.add(defaults)
	load.out.add(defaults)
	load.what.target, load.command = lb, f.command
	load.when.scheduleName, load.when.total, load.when.seed = "random", f.duration, f.seed
	load.when.rates = f.client.rates
	load.when.scheduleOut = strings.TrimSuffix(strings.TrimSuffix(stats, ".zst"), ".ndjson") + ".schedule.toml"
	return &load
}
