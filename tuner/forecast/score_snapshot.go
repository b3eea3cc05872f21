package forecast

import (
	"fmt"
	"math"
	"slices"
)

// ScoreSnapshot is a Score as plain data.
type ScoreSnapshot struct {
	Errors  []float64 `json:"errors"` // relative, of the last forecasts
	Covered []bool    `json:"covered"`
	Judged  int       `json:"judged"`
	Dropped int       `json:"dropped"`
}

// Snapshot returns the score.
func (s *Score) Snapshot() ScoreSnapshot {
	return ScoreSnapshot{Errors: slices.Clone(s.errors), Covered: slices.Clone(s.covered), Judged: s.Judged,
		Dropped: s.Dropped}
}

// Score returns the score of a snapshot, or an error when no score has such one.
func (s ScoreSnapshot) Score() (Score, error) {
	if len(s.Errors) != len(s.Covered) || len(s.Errors) > scoreMost || s.Judged < len(s.Errors) || s.Dropped < 0 {
		return Score{}, fmt.Errorf("score of %d errors, %d intervals and %d forecasts: not usable", len(s.Errors),
			len(s.Covered), s.Judged)
	}
	for _, v := range s.Errors {
		if !(v >= 0) || math.IsInf(v, 1) {
			return Score{}, fmt.Errorf("score with a relative error of %v: not usable", v)
		}
	}
	return Score{errors: slices.Clone(s.Errors), covered: slices.Clone(s.Covered), Judged: s.Judged,
		Dropped: s.Dropped}, nil
}
