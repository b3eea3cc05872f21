package loadgen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/BurntSushi/toml"

	"trimtab/loadgen/arrival"
)

// Schedule says when which workload is sent how. As a TOML file it repeats a run exactly.
type Schedule struct {
	// that the schedule was drawn with; the seed of bursts without one follows from it
	Seed   uint64           `toml:"seed"`
	Total  Span             `toml:"total,omitzero"` // after it nothing is sent; 0: the end of the last burst
	Bursts []ScheduledBurst `toml:"burst"`
}

// ScheduledBurst is one burst of one workload. Exactly one of Rate, Steps, Ramp and Sine is given.
type ScheduledBurst struct {
	Workload string `toml:"workload"`
	arrival.Spec
	RateSpec
	Start    Span   `toml:"start"`
	Duration Span   `toml:"duration"`
	Seed     uint64 `toml:"seed,omitzero"` // 0: derived from the schedule's
}

// RateSpec is a rate over the offset from the start of its burst, in requests per second.
type RateSpec struct {
	Rate  float64     `toml:"rate,omitzero"`
	Steps []RatePoint `toml:"steps,omitempty"`
	Ramp  []RatePoint `toml:"ramp,omitempty"`
	Sine  *SineSpec   `toml:"sine,omitempty"`
}

// RatePoint is a rate at an offset.
type RatePoint struct {
	At   Span    `toml:"at"`
	Rate float64 `toml:"rate"`
}

// SineSpec is a rate that swings around a mean; see arrival.NewSine.
type SineSpec struct {
	Mean      float64 `toml:"mean"`
	Amplitude float64 `toml:"amplitude"`
	Period    Span    `toml:"period"`
	Phase     float64 `toml:"phase,omitzero"` // radians
}

// Build returns the rate that the specification describes.
func (r RateSpec) Build() (arrival.Rate, error) {
	given := 0
	for _, is := range []bool{r.Rate != 0, r.Steps != nil, r.Ramp != nil, r.Sine != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, errors.New("rate: want exactly one of a rate above 0, steps, a ramp or a sine")
	case r.Steps != nil:
		return arrival.Steps(points(r.Steps)...)
	case r.Ramp != nil:
		return arrival.Ramps(points(r.Ramp)...)
	case r.Sine != nil:
		return arrival.NewSine(r.Sine.Mean, r.Sine.Amplitude, time.Duration(r.Sine.Period), r.Sine.Phase)
	default:
		return arrival.Steps(arrival.Point{Rate: r.Rate})
	}
}

func points(in []RatePoint) []arrival.Point {
	out := make([]arrival.Point, len(in))
	for i, p := range in {
		out[i] = arrival.Point{At: time.Duration(p.At), Rate: p.Rate}
	}
	return out
}

// Span is a time.Duration written as text, such as "30s".
type Span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = Span(d)
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// String returns the span as text.
func (s Span) String() string { return time.Duration(s).String() }

// ReadSchedule reads a schedule in TOML; unknown keys are errors.
func ReadSchedule(r io.Reader) (*Schedule, error) {
	var s Schedule
	meta, err := toml.NewDecoder(r).Decode(&s)
	if err != nil {
		return nil, fmt.Errorf("read schedule: %w", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("read schedule: unknown key %q", unknown[0].String())
	}
	if err := s.complete(); err != nil {
		return nil, fmt.Errorf("read schedule: %w", err)
	}
	return &s, nil
}

// WriteTo writes the schedule in TOML.
func (s *Schedule) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# A load schedule of trimtab: trimtab load --target URL --schedule FILE repeats it.\n")
	encoder := toml.NewEncoder(&b)
	encoder.Indent = ""
	if err := encoder.Encode(s); err != nil {
		return 0, fmt.Errorf("write schedule: %w", err)
	}
	n, err := w.Write(b.Bytes())
	return int64(n), err
}

// complete checks the bursts and gives those without a seed one that follows from the schedule's.
func (s *Schedule) complete() error {
	var errs []error
	if len(s.Bursts) == 0 {
		errs = append(errs, errors.New("no burst"))
	}
	if s.Total < 0 {
		errs = append(errs, fmt.Errorf("total %s: want at least 0", s.Total))
	}
	if s.Seed > math.MaxInt64 { // the parser turns negative numbers into these
		errs = append(errs, errors.New("seed: want 0 to 2^63−1"))
	}
	for i := range s.Bursts {
		b := &s.Bursts[i]
		if b.Seed > math.MaxInt64 {
			errs = append(errs, fmt.Errorf("burst %d: seed: want 0 to 2^63−1", i+1))
		}
		if b.Seed == 0 {
			b.Seed = deriveSeed(s.Seed, uint64(i))
		}
		if b.Workload == "" {
			errs = append(errs, fmt.Errorf("burst %d: no workload", i+1))
		}
		if _, err := b.burst(); err != nil {
			errs = append(errs, fmt.Errorf("burst %d: %w", i+1, err))
		}
	}
	return errors.Join(errs...)
}

// burst builds the burst.
func (b *ScheduledBurst) burst() (Burst, error) {
	rate, err := b.Build()
	if err != nil {
		return Burst{}, err
	}
	out := Burst{Arrival: b.Spec, Rate: rate, Seed: b.Seed, Start: time.Duration(b.Start),
		Duration: time.Duration(b.Duration)}
	return out, out.validate()
}

// Names returns the workloads of the schedule in the order of their first bursts.
func (s *Schedule) Names() (names []string) {
	for _, b := range s.Bursts {
		if !slices.Contains(names, b.Workload) {
			names = append(names, b.Workload)
		}
	}
	return names
}

// Workloads returns the workloads of the schedule without their targeters, the bursts cut at Total.
func (s *Schedule) Workloads() ([]Workload, error) {
	names := s.Names()
	workloads := make([]Workload, len(names))
	for i, name := range names {
		workloads[i].Name = name
	}
	for i := range s.Bursts {
		b, err := s.Bursts[i].burst()
		if err != nil {
			return nil, fmt.Errorf("burst %d: %w", i+1, err)
		}
		if s.Total > 0 {
			b.Duration = min(b.Duration, time.Duration(s.Total)-b.Start)
		}
		if b.Duration > 0 {
			w := &workloads[slices.Index(names, s.Bursts[i].Workload)]
			w.Bursts = append(w.Bursts, b)
		}
	}
	return slices.DeleteFunc(workloads, func(w Workload) bool { return len(w.Bursts) == 0 }), nil
}

// End returns when the schedule ends.
func (s *Schedule) End() (end time.Duration) {
	for _, b := range s.Bursts {
		end = max(end, time.Duration(b.Start+b.Duration))
	}
	if s.Total > 0 {
		end = min(end, time.Duration(s.Total))
	}
	return end
}
