package loadgen

import (
	"time"

	"trimtab/loadgen/arrival"
)

// Report says what became of an attack.
type Report struct {
	Tally
	About
	Series       Series    `json:"over_time"`
	Arrival      string    `json:"arrival"`      // of all bursts, or "mixed"
	Interarrival GapReport `json:"interarrival"` // of the burst whose gaps follow their law least
	// of the first burst, unless the caller sets the one that all follow from
	Seed        uint64           `json:"seed"`
	Started     time.Time        `json:"started"`
	DurationS   float64          `json:"duration_s"` // from the start to the last answer
	PlannedS    float64          `json:"planned_s"`
	Interrupted bool             `json:"interrupted"`
	BoundMS     float64          `json:"lateness_bound_ms"`
	Workloads   []WorkloadReport `json:"workloads"`

	Seconds  []Second  `json:"-"` // what completed in each second
	Timeline Histories `json:"-"` // all values over all workloads
}

// About says what a report is of. The caller fills in all but Server.
type About struct {
	Version string `json:"trimtab_version,omitempty"`
	Host    string `json:"host,omitempty"` // that the load came from
	Target  string `json:"target,omitempty"`
	Server  string `json:"target_software,omitempty"` // what the target called itself in its answers, such as nginx/1.22.1
	Command string `json:"command,omitempty"`
}

// Series is the course of an attack in at most seriesPoints points, each over one or more seconds.
type Series struct {
	AtS      []float64 `json:"at_s"` // end of each
	RatePerS []float64 `json:"rate_per_s"`
	P50MS    []float64 `json:"p50_ms"` // highest of the seconds of a point
	P99MS    []float64 `json:"p99_ms"`
	Errors   []uint64  `json:"errors"`
}

// seriesPoints bounds what a report of hours holds of its course.
const seriesPoints = 1000

// seriesOf joins seconds to points.
func seriesOf(seconds []Second) Series {
	var s Series
	each := (len(seconds) + seriesPoints - 1) / seriesPoints
	for from := 0; from < len(seconds); from += each {
		part := seconds[from:min(from+each, len(seconds))]
		length, requests, p50, p99, errs := 0.0, uint64(0), 0.0, 0.0, uint64(0)
		for i := range part {
			t := &part[i].Total
			length += part[i].Length
			requests += t.Requests
			errs += t.Errors
			p50, p99 = max(p50, t.Latency.P50), max(p99, t.Latency.P99)
		}
		s.AtS = append(s.AtS, part[len(part)-1].At)
		s.RatePerS = append(s.RatePerS, float64(requests)/max(length, 1e-9))
		s.P50MS, s.P99MS, s.Errors = append(s.P50MS, p50), append(s.P99MS, p99), append(s.Errors, errs)
	}
	return s
}

// Histories are the full distributions behind a tally.
type Histories struct{ Latency, Raw, Lateness *Latencies }

// WorkloadReport says what became of one workload.
type WorkloadReport struct {
	Name string `json:"workload"`
	Tally
	Bursts []BurstReport `json:"bursts"`

	Timeline Histories `json:"-"`
}

// BurstReport says how faithfully one burst was sent.
type BurstReport struct {
	arrival.Spec
	StartS       float64   `json:"start_s"`
	DurationS    float64   `json:"duration_s"`
	RatePerS     float64   `json:"rate_per_s"` // asked, on average
	RateLaw      string    `json:"rate_law"`   // constant, steps, ramp or sine
	Curve        []Asked   `json:"rate_curve"` // the rate asked over time: one point when it is constant
	Seed         uint64    `json:"seed"`
	Interarrival GapReport `json:"interarrival"`
}

// Asked is the rate asked at a time.
type Asked struct {
	AtS      float64 `json:"at_s"` // from the start of the burst
	RatePerS float64 `json:"rate_per_s"`
}

// Tally is what the report of a workload and the report of the whole attack have in common.
type Tally struct {
	Requests    uint64            `json:"requests"` // sent and accounted for, failed ones included
	Errors      uint64            `json:"errors"`
	ErrorKinds  map[string]uint64 `json:"errors_by_kind"`
	ErrorSample map[string]string `json:"error_samples,omitempty"` // the first message of each kind
	Codes       map[int]uint64    `json:"status_codes"`
	RatePerS    float64           `json:"rate_per_s"` // requests sent per second of sending time
	BytesIn     uint64            `json:"bytes_in"`
	BytesOut    uint64            `json:"bytes_out"`
	Latency     Summary           `json:"latency_ms"`     // from the due time
	Raw         Summary           `json:"raw_latency_ms"` // from the start of sending
	Lateness    Summary           `json:"lateness_ms"`    // from the due time to the start of sending
	// lateness p99 beyond the bound, or requests dropped: not valid as open loop
	Saturated bool   `json:"saturated"`
	Capped    uint64 `json:"capped"`  // requests that found all workers busy and had to wait for one
	Dropped   uint64 `json:"dropped"` // due but never sent
}

// summary turns a tally into its report; sending is how long its bursts lasted.
func (t *tally) summary(sending, bound time.Duration) Tally {
	s := Tally{
		Requests: t.requests, Errors: t.errors(), ErrorKinds: map[string]uint64{}, ErrorSample: map[string]string{},
		Codes:   map[int]uint64{},
		BytesIn: t.bytesIn, BytesOut: t.bytesOut, Dropped: t.dropped, Capped: t.capped,
		Latency: t.latency.Summary(), Raw: t.raw.Summary(), Lateness: t.lateness.Summary(),
		Saturated: t.dropped > 0 || t.lateness.Quantile(0.99) > bound,
	}
	if sending > 0 {
		s.RatePerS = float64(t.requests) / sending.Seconds()
	}
	for kind, n := range t.failed {
		if n > 0 {
			s.ErrorKinds[Failure(kind).String()] = n
			s.ErrorSample[Failure(kind).String()] = t.samples[kind]
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
	r := &Report{
		Started: epoch, DurationS: elapsed.Seconds(), PlannedS: a.end.Seconds(), Interrupted: interrupted,
		BoundMS: Milliseconds(a.cfg.LatenessBound), Seconds: a.seconds, Series: seriesOf(a.seconds),
		Seed: a.cfg.Workloads[0].Bursts[0].Seed,
		// above every probability, until the first burst takes its place
		Interarrival: GapReport{KSP: 2, Faithful: true},
	}
	total := newTally()
	var sending time.Duration
	for i, s := range a.streams {
		w := &a.cfg.Workloads[i]
		if s.transport != nil && r.Server == "" {
			if name := s.transport.server.Load(); name != nil {
				r.Server = *name
			}
		}
		s.mu.Lock()
		total.merge(s.all)
		wr := WorkloadReport{
			Name: s.name, Tally: s.all.summary(w.sending(elapsed), a.cfg.LatenessBound), Timeline: s.all.histories(),
		}
		s.mu.Unlock()
		for _, b := range a.bursts {
			if b.workload == i {
				wr.Bursts = append(wr.Bursts, b.report(r))
			}
		}
		sending = max(sending, min(elapsed, w.end())-w.start())
		r.Workloads = append(r.Workloads, wr)
	}
	r.Tally = total.summary(sending, a.cfg.LatenessBound)
	for _, w := range r.Workloads {
		r.Saturated = r.Saturated || w.Saturated
	}
	r.Timeline = total.histories()
	return r
}

// report sums up the burst and takes the place of the worst burst in r if it is worse.
func (b *burst) report(r *Report) BurstReport {
	spec := b.attack.cfg.Workloads[b.workload].Bursts[b.index]
	gaps := b.check.report()
	if r.Arrival == "" {
		r.Arrival = string(spec.Arrival.Kind)
	} else if r.Arrival != string(spec.Arrival.Kind) {
		r.Arrival = "mixed"
	}
	if worst := r.Interarrival; gaps.Faithful != worst.Faithful && !gaps.Faithful || gaps.Faithful == worst.Faithful &&
		gaps.KSP < worst.KSP {
		r.Interarrival = gaps
	}
	return BurstReport{
		Spec: spec.Arrival, StartS: spec.Start.Seconds(), DurationS: spec.Duration.Seconds(), Seed: spec.Seed,
		RatePerS: spec.Rate.Area(0, spec.Duration) / spec.Duration.Seconds(), Interarrival: gaps,
		RateLaw: arrival.Law(spec.Rate), Curve: curveOf(spec.Rate, spec.Duration),
	}
}

func (t *tally) histories() Histories {
	return Histories{Latency: t.latency, Raw: t.raw, Lateness: t.lateness}
}

// sending is how long the workload's bursts lasted in an attack that took elapsed.
func (w *Workload) sending(elapsed time.Duration) (sum time.Duration) {
	for _, b := range w.Bursts {
		sum += max(0, min(b.Start+b.Duration, elapsed)-b.Start)
	}
	return sum
}

// start is the offset at which the first burst starts.
func (w *Workload) start() time.Duration {
	start := w.Bursts[0].Start
	for _, b := range w.Bursts {
		start = min(start, b.Start)
	}
	return start
}

// curvePoints is in how many points a rate that changes is stated.
const curvePoints = 60

// curveOf is the rate that is asked over time.
func curveOf(rate arrival.Rate, lasts time.Duration) []Asked {
	first := rate.At(0)
	out, same := make([]Asked, 0, curvePoints+1), true
	for i := range curvePoints + 1 {
		at := lasts * time.Duration(i) / curvePoints
		v := rate.At(at)
		same = same && v == first
		out = append(out, Asked{AtS: at.Seconds(), RatePerS: v})
	}
	if same {
		return out[:1]
	}
	return out
}
