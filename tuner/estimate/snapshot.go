package estimate

import (
	"fmt"
	"math"
	"slices"
)

// Snapshot is what is known of a server, as plain data: by number of slots in the order of queueing.Slots, and by
// class.
type Snapshot struct {
	LogServiceSec [][]float64 `json:"log_service_s"`
	Variance      [][]float64 `json:"variance"`
	Common        []float64   `json:"common_variance"`
	Evidence      []float64   `json:"evidence_nats"`
	Probability   []float64   `json:"probability"`
	SCV           []float64   `json:"response_scv"`
}

// Snapshot returns what is known of the server.
func (s *Server) Snapshot() Snapshot {
	out := Snapshot{SCV: slices.Clone(s.scv), Probability: slices.Clone(s.Prob[:])}
	for h := range s.slots {
		b := &s.slots[h]
		out.LogServiceSec = append(out.LogServiceSec, slices.Clone(b.log))
		out.Variance = append(out.Variance, slices.Clone(b.variance))
		out.Common = append(out.Common, b.common)
		out.Evidence = append(out.Evidence, b.evidence)
	}
	return out
}

// Check reports whether the snapshot is one of a server of so many classes.
func (s Snapshot) Check(classes int) error {
	if len(s.LogServiceSec) != choices || len(s.Variance) != choices || len(s.Evidence) != choices ||
		len(s.Probability) != choices ||
		len(s.Common) != choices {
		return fmt.Errorf("%d numbers of slots: want %d", len(s.LogServiceSec), choices)
	}
	if len(s.SCV) != classes {
		return fmt.Errorf("%d classes: want %d", len(s.SCV), classes)
	}
	sum := 0.0
	for h := range s.LogServiceSec {
		if len(s.LogServiceSec[h]) != classes || len(s.Variance[h]) != classes {
			return fmt.Errorf("%d classes: want %d", len(s.LogServiceSec[h]), classes)
		}
		for k := range s.LogServiceSec[h] {
			if v := s.LogServiceSec[h][k]; math.IsNaN(v) || math.Abs(v) > 50 || !(s.Variance[h][k] >= 0) ||
				math.IsInf(s.Variance[h][k], 0) {
				return fmt.Errorf("log service time %v with variance %v: not usable", v, s.Variance[h][k])
			}
		}
		if !(s.Common[h] >= 0) || math.IsInf(s.Common[h], 0) {
			return fmt.Errorf("variance of the speed %v: not usable", s.Common[h])
		}
		if !(s.Probability[h] >= 0) || math.IsNaN(s.Evidence[h]) || math.IsInf(s.Evidence[h], 0) {
			return fmt.Errorf("probability %v, evidence %v: not usable", s.Probability[h], s.Evidence[h])
		}
		sum += s.Probability[h]
	}
	if math.Abs(sum-1) > 1e-6 {
		return fmt.Errorf("probabilities sum to %v: want 1", sum)
	}
	return nil
}

// Restore returns the server of a snapshot that Check found usable.
func Restore(s Snapshot) *Server {
	out := NewServer(len(s.SCV))
	copy(out.scv, s.SCV)
	copy(out.Prob[:], s.Probability)
	for h := range out.slots {
		b := &out.slots[h]
		copy(b.log, s.LogServiceSec[h])
		copy(b.variance, s.Variance[h])
		b.common = s.Common[h]
		b.evidence = s.Evidence[h]
		for _, v := range b.variance {
			out.seen = out.seen || v > 0
		}
	}
	return out
}
