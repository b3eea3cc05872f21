package vts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// CollectConfig says when a collection ends; without any condition it lasts until its context ends.
type CollectConfig struct {
	Poller   *Poller
	Recorder *Recorder
	// Duration ends it after a time; 0 means never.
	Duration time.Duration
	// UntilPID ends it with a process; 0 means never.
	UntilPID int
	// UntilIdle ends it when upstreams have had requests and then none for this long; 0 means never.
	UntilIdle time.Duration
	// Wait is how long the page may take to answer for the first time; 0 means 10 s.
	Wait time.Duration
	// Hosts, when not nil, says what is known of the machines of servers now; it is recorded with every status.
	Hosts func() []HostSample
	// OnPoll, when not nil, is told of every poll, from the goroutine that called Collect.
	OnPoll func(Event, CollectReport)
}

// CollectReport sums up a collection.
type CollectReport struct {
	Statuses int
	Requests uint64 // of all upstream servers, over the samples
	Bytes    int64
	Elapsed  time.Duration
	Ended    string // why: "duration", "process ended", "load ended", "interrupted"
	Health   Health
}

// Collect polls and records until a condition of cfg holds or ctx ends, which is no error. It fails when the page never
// answers and when the file cannot be written. The recorder stays open.
func Collect(ctx context.Context, cfg CollectConfig) (CollectReport, error) {
	var report CollectReport
	if cfg.Wait == 0 {
		cfg.Wait = 10 * time.Second
	}
	var process procStart
	if cfg.UntilPID != 0 {
		var err error
		if process, err = readProc(cfg.UntilPID); err != nil {
			return report, err
		}
	}
	start := time.Now()
	sub := cfg.Poller.Subscribe(1024) // a slow disk must not lose statuses
	defer sub.Close()
	polling, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cfg.Poller.Run(polling)
	}()
	defer func() {
		stop()
		<-done
	}()

	var deadline <-chan time.Time
	if cfg.Duration > 0 {
		timer := time.NewTimer(cfg.Duration)
		defer timer.Stop()
		deadline = timer.C
	}
	wait := time.NewTimer(cfg.Wait)
	defer wait.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	busy := time.Time{} // when requests were last seen
	finish := func(why string) (CollectReport, error) {
		report.Ended, report.Elapsed, report.Health = why, time.Since(start), cfg.Poller.Health()
		report.Bytes = cfg.Recorder.Bytes()
		return report, nil
	}
	for {
		select {
		case <-ctx.Done():
			return finish("interrupted")
		case <-deadline:
			return finish("duration")
		case <-wait.C:
			if report.Statuses == 0 {
				return report, fmt.Errorf("no status within %v: %w", cfg.Wait, cfg.Poller.Health().LastErr)
			}
		case <-tick.C:
			if cfg.UntilPID != 0 && !process.alive() {
				return finish("process ended")
			}
			if cfg.UntilIdle > 0 && !busy.IsZero() && time.Since(busy) >= cfg.UntilIdle {
				return finish("load ended")
			}
		case ev := <-sub.C:
			if ev.Status != nil {
				status := ev.Status
				if cfg.Hosts != nil {
					with := *status // others read it too
					with.Hosts = cfg.Hosts()
					status = &with
				}
				if err := cfg.Recorder.Write(status); err != nil {
					return report, err
				}
				report.Statuses++
			}
			if ev.Sample != nil {
				var n uint64
				for i := range ev.Sample.Groups {
					n += ev.Sample.Groups[i].Requests()
				}
				report.Requests += n
				if n > 0 {
					busy = time.Now()
				}
			}
			if cfg.OnPoll != nil {
				report.Elapsed, report.Bytes = time.Since(start), cfg.Recorder.Bytes()
				cfg.OnPoll(ev, report)
			}
		}
	}
}

// procStart identifies a process beyond the reuse of its number.
type procStart struct {
	pid   int
	ticks string // since boot, when it was started
}

func readProc(pid int) (procStart, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStart{}, fmt.Errorf("find process %d: %w", pid, err)
	}
	// The command, in parentheses, may hold anything.
	_, rest, ok := strings.Cut(string(stat[max(0, strings.LastIndexByte(string(stat), ')')):]), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return procStart{}, fmt.Errorf("find process %d: /proc is not understood", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return procStart{}, fmt.Errorf("find process %d: it has ended", pid)
	}
	return procStart{pid: pid, ticks: fields[19]}, nil
}

func (p procStart) alive() bool {
	now, err := readProc(p.pid)
	if err != nil {
		// Anything but its absence must not end a collection.
		return !errors.Is(err, os.ErrNotExist) && !strings.Contains(err.Error(), "it has ended")
	}
	return now.ticks == p.ticks
}
