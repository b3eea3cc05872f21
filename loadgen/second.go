package loadgen

import "time"

// Second is what completed within about one second.
type Second struct {
	At        float64          `json:"at_s"`     // end of the second, from the start of the attack
	Length    float64          `json:"length_s"` // 1 but for the last
	Total     SecondTally      `json:"total"`
	Workloads []WorkloadSecond `json:"workloads"`
}

// WorkloadSecond is what one workload completed within a second.
type WorkloadSecond struct {
	Name string `json:"workload"`
	SecondTally
}

// SecondTally counts what completed within a second.
type SecondTally struct {
	Requests uint64  `json:"requests"`
	Errors   uint64  `json:"errors"`
	RatePerS float64 `json:"rate_per_s"`
	Latency  Summary `json:"latency_ms"`
	Raw      Summary `json:"raw_latency_ms"`
	Lateness Summary `json:"lateness_ms"`
}

func (t *tally) secondSummary(length float64) SecondTally {
	s := SecondTally{Requests: t.requests, Errors: t.errors(), Latency: t.latency.Summary(), Raw: t.raw.Summary(),
		Lateness: t.lateness.Summary()}
	if length > 0 {
		s.RatePerS = float64(t.requests) / length
	}
	return s
}

// closeSecond ends the current second at the offset now and reports it. It is called from one goroutine.
func (a *Attack) closeSecond(now time.Duration) {
	length := (now - a.lastSecond).Seconds()
	a.lastSecond = now
	total := a.total
	total.reset()
	second := Second{At: now.Seconds(), Length: length}
	for _, s := range a.streams {
		s.mu.Lock()
		s.second, s.spare = s.spare, s.second
		s.mu.Unlock()
		total.merge(s.spare)
		second.Workloads = append(second.Workloads,
			WorkloadSecond{Name: s.name, SecondTally: s.spare.secondSummary(length)})
		s.spare.reset()
	}
	second.Total = total.secondSummary(length)
	a.seconds = append(a.seconds, second)
	if a.cfg.OnSecond != nil {
		a.cfg.OnSecond(second)
	}
}

// Snapshot is the state of a running attack.
type Snapshot struct {
	Elapsed   time.Duration // 0 before the start
	Remaining time.Duration // until the last burst ends, at least 0
	Total     SnapshotTally
	Workloads []SnapshotTally
}

// SnapshotTally is the state of one workload so far.
type SnapshotTally struct {
	Name     string
	Requests uint64
	Errors   uint64
	Latency  Summary
	Lateness Summary
}

// Snapshot returns the state so far. It may be called at any time from any goroutine.
func (a *Attack) Snapshot() Snapshot {
	snap := Snapshot{Remaining: a.end}
	if epoch := a.epoch.Load(); epoch != nil {
		snap.Elapsed = time.Since(*epoch)
		snap.Remaining = max(0, a.end-snap.Elapsed)
	}
	total := newTally()
	for _, s := range a.streams {
		s.mu.Lock()
		total.merge(s.all)
		snap.Workloads = append(snap.Workloads, s.all.snapshot(s.name))
		s.mu.Unlock()
	}
	snap.Total = total.snapshot("total")
	return snap
}

func (t *tally) snapshot(name string) SnapshotTally {
	return SnapshotTally{Name: name, Requests: t.requests, Errors: t.errors(), Latency: t.latency.Summary(),
		Lateness: t.lateness.Summary()}
}
