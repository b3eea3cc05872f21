package loadgen

import (
	"time"

	"trimtab/loadgen/arrival"
)

// Report says what became of an attack.
type Report struct {
	Tally
	Started     time.Time        `json:"started"`
	DurationS   float64          `json:"duration_s"` // from the start to the last answer
	PlannedS    float64          `json:"planned_s"`
	Interrupted bool             `json:"interrupted"`
	Seed        uint64           `json:"seed"` // of the first burst
	Workloads   []WorkloadReport `json:"workloads"`

	// Latency and its parts over all workloads, with all their quantiles.
	Latencies, RawLatencies, LatenessLatencies *Latencies `json:"-"`
}

// WorkloadReport says what became of one workload.
type WorkloadReport struct {
	Name string `json:"workload"`
	Tally
	Bursts []BurstReport `json:"bursts"`

	Latencies *Latencies `json:"-"`
}

// BurstReport says how faithfully one burst was sent.
type BurstReport struct {
	Arrival      arrival.Spec `json:"arrival"`
	StartS       float64      `json:"start_s"`
	DurationS    float64      `json:"duration_s"`
	RatePerS     float64      `json:"rate_per_s"` // asked, on average
	Seed         uint64       `json:"seed"`
	Interarrival GapReport    `json:"interarrival"`
}

// Tally is what the report of a workload and the report of the whole attack have in common.
type Tally struct {
	Requests   uint64            `json:"requests"` // sent and accounted for, failed ones included
	Errors     uint64            `json:"errors"`
	ErrorKinds map[string]uint64 `json:"errors_by_kind"`
	Codes      map[int]uint64    `json:"status_codes"`
	RatePerS   float64           `json:"rate_per_s"` // requests sent per second of sending time
	BytesIn    uint64            `json:"bytes_in"`
	BytesOut   uint64            `json:"bytes_out"`
	Latency    Summary           `json:"latency_ms"`
	Raw        Summary           `json:"raw_latency_ms"`
	Lateness   Summary           `json:"lateness_ms"`
	Saturated  bool              `json:"saturated"` // lateness p99 beyond the bound, or requests dropped: not valid as open loop
	Dropped    uint64            `json:"dropped"`   // due but never sent
}

// summary turns a tally into its report; sending is how long its bursts lasted.
func (t *tally) summary(sending, bound time.Duration) Tally {
	s := Tally{
		Requests: t.requests, Errors: t.errors(), ErrorKinds: map[string]uint64{}, Codes: map[int]uint64{},
		BytesIn: t.bytesIn, BytesOut: t.bytesOut, Dropped: t.dropped,
		Latency: t.latency.Summary(), Raw: t.raw.Summary(), Lateness: t.lateness.Summary(),
		Saturated: t.dropped > 0 || t.lateness.Quantile(0.99) > bound,
	}
	if sending > 0 {
		s.RatePerS = float64(t.requests) / sending.Seconds()
	}
	for kind, n := range t.failed {
		if n > 0 {
			s.ErrorKinds[Failure(kind).String()] = n
		}
	}
	for code, n := range t.codes {
		if n > 0 {
			s.Codes[code] = n
		}
	}
	return s
}

// report sums up the attack that started at epoch and took elapsed.
func (a *Attack) report(epoch time.Time, elapsed time.Duration, interrupted bool) *Report {
	total := newTally()
	r := &Report{Started: epoch, DurationS: elapsed.Seconds(), PlannedS: a.end.Seconds(), Interrupted: interrupted}
	for i, s := range a.streams {
		s.mu.Lock()
		total.merge(s.all)
		w := &a.cfg.Workloads[i]
		wr := WorkloadReport{Name: s.name, Tally: s.all.summary(w.sending(elapsed), a.cfg.LatenessBound), Latencies: s.all.latency}
		s.mu.Unlock()
		for _, b := range a.bursts {
			if b.workload != i {
				continue
			}
			spec := w.Bursts[b.index]
			wr.Bursts = append(wr.Bursts, BurstReport{
				Arrival: spec.Arrival, StartS: spec.Start.Seconds(), DurationS: spec.Duration.Seconds(), Seed: spec.Seed,
				RatePerS:     spec.Rate.Area(0, spec.Duration) / spec.Duration.Seconds(),
				Interarrival: b.check.report(),
			})
		}
		r.Workloads = append(r.Workloads, wr)
	}
	r.Seed = a.cfg.Workloads[0].Bursts[0].Seed
	r.Tally = total.summary(min(elapsed, a.end), a.cfg.LatenessBound)
	r.Latencies, r.RawLatencies, r.LatenessLatencies = total.latency, total.raw, total.lateness
	return r
}

// sending is how long the workload's bursts lasted in an attack that took elapsed.
func (w *Workload) sending(elapsed time.Duration) (sum time.Duration) {
	for _, b := range w.Bursts {
		sum += max(0, min(b.Start+b.Duration, elapsed)-b.Start)
	}
	return sum
}
