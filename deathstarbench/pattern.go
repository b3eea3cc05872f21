package deathstarbench

import (
	"fmt"
	"slices"
	"time"

	"trimtab/loadgen/arrival"
)

// Pattern is a load that is written as a rule in place of its phases: the patterns that the published evaluation of the
// service-mesh framework plays.
type Pattern struct {
	Kind   string    `toml:"kind"`   // drawn, sine or trace; empty: none
	Every  Duration  `toml:"every"`  // length of a step; of a trace 0 means as the file has it
	Values []float64 `toml:"values"` // drawn: rates per second, each as likely
	Seed   int       `toml:"seed"`   // drawn
	// Mean, Amplitude, Period and Phase (in radians) of a sine, rates per second.
	Mean      float64  `toml:"mean"`
	Amplitude float64  `toml:"amplitude"`
	Period    Duration `toml:"period"`
	Phase     float64  `toml:"phase"`
	File      string   `toml:"file"` // trace: lines of "seconds rate"
}

// The kinds of patterns.
const (
	PatternDrawn = "drawn"
	PatternSine  = "sine"
	PatternTrace = "trace"
)

// mostSteps bounds the phases that a pattern makes.
const mostSteps = 1 << 20

func (p *Pattern) check(c *checker, where string, duration time.Duration) {
	if p.Kind == "" {
		return
	}
	c.want(slices.Contains([]string{PatternDrawn, PatternSine, PatternTrace}, p.Kind), where+".kind",
		"%q: want drawn, sine or trace", p.Kind)
	if _, err := p.phases(duration); err != nil {
		c.want(false, where, "%v", err)
	}
}

// phases are the steps of the pattern until duration.
func (p *Pattern) phases(duration time.Duration) ([]Phase, error) {
	if p.Kind != PatternTrace && (p.Every <= 0 || duration/max(p.Every.Std(), 1) > mostSteps) {
		return nil, fmt.Errorf("every %s: want more than 0, and at most %d steps", p.Every.Std(), mostSteps)
	}
	var points []arrival.Point
	var err error
	switch p.Kind {
	case PatternDrawn:
		points, err = arrival.Drawn(p.Values, p.Every.Std(), duration, uint64(p.Seed))
	case PatternSine:
		var rate arrival.Rate
		if rate, err = arrival.NewSine(p.Mean, p.Amplitude, p.Period.Std(), p.Phase); err == nil {
			points = arrival.Sampled(rate, p.Every.Std(), duration)
		}
	case PatternTrace:
		points, err = arrival.ReadTrace(p.File)
		points = slices.DeleteFunc(points, func(q arrival.Point) bool { return q.At >= duration })
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := make([]Phase, len(points))
	for i, q := range points {
		out[i] = Phase{At: Duration(q.At), Rate: q.Rate}
	}
	return out, nil
}
