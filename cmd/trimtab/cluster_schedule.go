package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"trimtab/cluster"
	"trimtab/loadgen"
	"trimtab/loadgen/arrival"
)

// scheduleAgreement says how far the regimes agree with the schedule that was run.
type scheduleAgreement struct {
	// Levels compares with idle, low, medium or high of every workload, by thirds of the scheduled rates; Phases with
	// the combination of bursts itself.
	Levels cluster.Agreement `json:"levels"`
	Phases cluster.Agreement `json:"phases"`
	// Classes and Bursts are how many different ones the intervals compared belong to.
	Classes int `json:"classes"`
	Bursts  int `json:"phase_count"`
	// Mixed intervals hold the beginning or the end of a burst and are left out.
	Mixed  int     `json:"mixed_intervals"`
	StartS float64 `json:"schedule_start_s"` // of the schedule after the first interval began
}

func (s *scheduleAgreement) String() string {
	return fmt.Sprintf("agreement with the schedule: %d classes of level, adjusted Rand %.3f, mutual information "+
		"%.3f, homogeneity %.3f, completeness %.3f; "+
		"%d phases, adjusted Rand %.3f, mutual information %.3f (%d intervals, %d with a change left out)",
		s.Classes, s.Levels.AdjustedRand, s.Levels.NormalisedMutualInformation, s.Levels.Homogeneity,
		s.Levels.Completeness,
		s.Bursts, s.Phases.AdjustedRand, s.Phases.NormalisedMutualInformation, s.Levels.N, s.Mixed)
}

// plan is a schedule as the comparison reads it.
type plan struct {
	workloads []string
	bursts    []plannedBurst
	low, high []float64 // per workload: thirds of the scheduled rates, weighted by time
	end       time.Duration
}

type plannedBurst struct {
	workload   int
	start, end time.Duration
	rate       arrival.Rate
}

func readPlan(path string) (*plan, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read schedule: %w", err)
	}
	defer file.Close()
	schedule, err := loadgen.ReadSchedule(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p := &plan{workloads: schedule.Names(), end: schedule.End()}
	for _, b := range schedule.Bursts {
		rate, err := b.Build()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		end := min(time.Duration(b.Start+b.Duration), p.end)
		p.bursts = append(p.bursts, plannedBurst{workload: slices.Index(p.workloads, b.Workload),
			start: time.Duration(b.Start), end: end, rate: rate})
	}
	p.thirds()
	return p, nil
}

// thirds finds the rates that separate low, medium and high, second by second.
func (p *plan) thirds() {
	rates := make([][]float64, len(p.workloads))
	for t := time.Duration(0); t < p.end; t += time.Second {
		for w, r := range p.rates(t) {
			if r > 0 {
				rates[w] = append(rates[w], r)
			}
		}
	}
	p.low, p.high = make([]float64, len(rates)), make([]float64, len(rates))
	for w, r := range rates {
		if len(r) > 0 {
			slices.Sort(r)
			p.low[w], p.high[w] = r[len(r)/3], r[2*len(r)/3]
		}
	}
}

// rates is the rate of every workload at the offset t.
func (p *plan) rates(t time.Duration) []float64 {
	rates := make([]float64, len(p.workloads))
	for _, b := range p.bursts {
		if t >= b.start && t < b.end {
			rates[b.workload] += b.rate.At(t - b.start)
		}
	}
	return rates
}

// class is the level of every workload at the offset t, such as "0 2 1": idle 0 to high 3.
func (p *plan) class(t time.Duration) string {
	var b strings.Builder
	for w, r := range p.rates(t) {
		level := 2
		switch {
		case r == 0:
			level = 0
		case r < p.low[w]:
			level = 1
		case r >= p.high[w]:
			level = 3
		}
		fmt.Fprintf(&b, "%d ", level)
	}
	return b.String()
}

// phase is the set of bursts under way during the whole of [from, to]; ok is false when one begins or ends within.
func (p *plan) phase(from, to time.Duration) (name string, ok bool) {
	var b strings.Builder
	for i, burst := range p.bursts {
		switch {
		case burst.end <= from || burst.start >= to:
		case burst.start <= from && burst.end >= to:
			fmt.Fprintf(&b, "%d ", i)
		default:
			return "", false
		}
	}
	return b.String(), true
}

// compareSchedule compares the regimes with the schedule that was run. When it began is found by shifting it until
// its total rate fits the one measured best.
func compareSchedule(path string, intervals []cluster.Interval, assigned []cluster.Assignment) (*scheduleAgreement,
	error) {
	p, err := readPlan(path)
	if err != nil {
		return nil, err
	}
	begin := intervals[0].Sample.At.Add(-intervals[0].Sample.Interval)
	start := p.align(begin, intervals)
	out := &scheduleAgreement{StartS: start.Seconds()}
	var regimes []int
	var classes, phases []string
	seenClass, seenPhase := map[string]bool{}, map[string]bool{}
	for i, in := range intervals {
		to := in.Sample.At.Sub(begin) - start
		from := to - in.Sample.Interval
		if from < 0 || to > p.end {
			continue
		}
		phase, ok := p.phase(from, to)
		class := p.class((from + to) / 2)
		if !ok || class != p.class(from) || class != p.class(to-1) {
			out.Mixed++
			continue
		}
		regimes, classes, phases = append(regimes, assigned[i].Regime), append(classes, class), append(phases, phase)
		seenClass[class], seenPhase[phase] = true, true
	}
	if len(regimes) == 0 {
		return nil, fmt.Errorf("%s: no interval of the statistics lies wholly within the schedule", path)
	}
	out.Levels, out.Phases = cluster.Agree(regimes, classes), cluster.Agree(regimes, phases)
	out.Classes, out.Bursts = len(seenClass), len(seenPhase)
	return out, nil
}

// alignWithin bounds how long before or after the first interval the schedule may have begun.
const alignWithin = 10 * time.Minute

// align returns when the schedule began, from the beginning of the first interval: first to half a second, then to
// 20 ms.
func (p *plan) align(begin time.Time, intervals []cluster.Interval) time.Duration {
	step := 20 * time.Millisecond
	total := make([]float64, p.end/step+2) // running integral of the scheduled rate
	for i := 1; i < len(total); i++ {
		for _, r := range p.rates(time.Duration(i-1)*step + step/2) {
			total[i] += r * step.Seconds()
		}
		total[i] += total[i-1]
	}
	until := func(t time.Duration) float64 { return total[min(max(int(t/step), 0), len(total)-1)] }
	misfit := func(start time.Duration) float64 {
		var sum float64
		for _, in := range intervals {
			to := in.Sample.At.Sub(begin) - start
			var requests float64
			for g := range in.Sample.Groups {
				requests += float64(in.Sample.Groups[g].Requests())
			}
			d := (requests - (until(to) - until(to-in.Sample.Interval))) / max(in.Sample.Interval.Seconds(), 1e-3)
			sum += d * d
		}
		return sum
	}
	search := func(around, within, step time.Duration) time.Duration {
		best, least := around, math.Inf(1)
		for start := around - within; start <= around+within; start += step {
			if m := misfit(start); m < least {
				best, least = start, m
			}
		}
		return best
	}
	return search(search(0, alignWithin, 500*time.Millisecond), 500*time.Millisecond, step)
}
