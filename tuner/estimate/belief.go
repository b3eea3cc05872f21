package estimate

import "math"

// Belief is what is believed of one server, as a value: the numbers of slots that it may have with their probabilities,
// and the service times that go with each.
type Belief struct {
	Known   bool         `json:"known"`
	Slots   []Hypothesis `json:"slots"`          // probabilities sum to 1
	SD      []float64    `json:"log_service_sd"` // by class: of the log service time, the slots being given
	SpeedSD float64      `json:"log_speed_sd"`   // of what all classes of the server share
	Fail    []float64    `json:"fail_share"`     // by class: probability that a request fails
	Inside  float64      `json:"inside"`         // requests held in the last interval, mean
	Done    float64      `json:"done_per_s"`     // served in the last interval
	// Doubt is the probability that what is believed of the speed is no longer so: the server has been slower of late
	// than any chance, for too short a time to tell a change from a pause.
	Doubt float64 `json:"doubt,omitempty"`
}

// Hypothesis is one number of slots.
type Hypothesis struct {
	Slots       float64   `json:"slots"`
	Probability float64   `json:"probability"`
	ServiceSec  []float64 `json:"service_s"` // by class
	// Slower is by what factor services take longer if Doubt is right.
	Slower float64 `json:"slower,omitempty"`
}

// Service is the expected service time of a class in seconds, the geometric mean over the numbers of slots.
func (b Belief) Service(class int) float64 {
	sum := 0.0
	for _, h := range b.Slots {
		sum += h.Probability * math.Log(h.ServiceSec[class])
	}
	return math.Exp(sum)
}

// Capacity is how many requests of a class per second the server serves at most, the geometric mean over the numbers of
// slots.
func (b Belief) Capacity(class int) float64 {
	sum := 0.0
	for _, h := range b.Slots {
		sum += h.Probability * math.Log(h.Slots/h.ServiceSec[class])
	}
	return math.Exp(sum)
}

// Slowed is the factor by which services are expected to take longer for what is in doubt, the mean over the numbers of
// slots; 1: nothing is.
func (b Belief) Slowed() float64 {
	factor := 1.0
	for _, h := range b.Slots {
		factor += h.Probability * b.Doubt * max(0, h.Slower-1)
	}
	return factor
}

// MeanSlots is the expected number of slots.
func (b Belief) MeanSlots() float64 {
	sum := 0.0
	for _, h := range b.Slots {
		sum += h.Probability * h.Slots
	}
	return sum
}

// Queue is how many of the requests held in the last interval waited, the slots being those expected.
func (b Belief) Queue() float64 { return max(0, b.Inside-b.MeanSlots()) }

// Refresh sets in b, what was believed of the server before, what was seen of it in the last interval.
func (s *Server) Refresh(b *Belief) {
	b.Inside, b.Done = s.inside, s.done
	if len(b.Fail) == len(s.fail) {
		copy(b.Fail, s.fail)
	}
}
