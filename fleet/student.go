package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"trimtab/vts"
	"trimtab/weights"
)

// Student is a policy so small that a node decides by it in microseconds, also while nobody is to be heard: what the
// centre would plan for some loads. The nearest one counts.
type Student struct {
	Version uint64 `json:"version"`
	// Groups name the columns of the rates.
	Groups []string `json:"groups"`
	Rows   []Lesson `json:"rows"`
}

// Lesson is what the centre would plan for one load of the whole fleet.
type Lesson struct {
	RatePerSec []float64   `json:"rate_per_s"` // by group
	Weights    weights.Set `json:"weights"`
}

// mostLessons bounds a student, so that it stays small.
const mostLessons = 64

func (s *Student) check() error {
	if len(s.Rows) == 0 || len(s.Rows) > mostLessons || len(s.Groups) == 0 || len(s.Groups) > MostGroups {
		return fmt.Errorf("policy %d: %d rows of %d groups: want 1 to %d rows", s.Version, len(s.Rows), len(s.Groups),
			mostLessons)
	}
	for i := range s.Rows {
		r := &s.Rows[i]
		bad := func(v float64) bool { return !(v >= 0) || math.IsInf(v, 0) }
		if len(r.RatePerSec) != len(s.Groups) || slices.ContainsFunc(r.RatePerSec, bad) {
			return fmt.Errorf("policy %d: row %d: want a rate of 0 or more for each group", s.Version, i)
		}
		if len(r.Weights) == 0 {
			return errors.New("policy without weights")
		}
	}
	return nil
}

// Decide returns the weights of the lesson whose load is nearest to that of the sample, by the logarithm; loadShare is
// the part of the fleet's load that the sample shows, 0 or less: all.
func (s *Student) Decide(sample *vts.Sample, loadShare float64) weights.Set {
	if loadShare <= 0 {
		loadShare = 1
	}
	best, least := 0, math.Inf(1)
	scale := 1 / (loadShare * math.Max(sample.Interval.Seconds(), 1e-3))
	for i := range s.Rows {
		d := 0.0
		for g, name := range s.Groups {
			n := slices.IndexFunc(sample.Groups, func(x vts.GroupSample) bool { return x.Name == name })
			if n < 0 {
				continue
			}
			e := math.Log((float64(sample.Groups[n].Requests())*scale + 1) / (s.Rows[i].RatePerSec[g] + 1))
			d += e * e
		}
		if d < least {
			best, least = i, d
		}
	}
	return s.Rows[best].Weights
}

// ParseStudent reads a student and checks it.
func ParseStudent(text []byte) (Student, error) {
	var s Student
	if err := json.Unmarshal(text, &s); err != nil {
		return Student{}, fmt.Errorf("read policy: %w", err)
	}
	if err := s.check(); err != nil {
		return Student{}, fmt.Errorf("read policy: %w", err)
	}
	return s, nil
}
