package arena

import (
	"time"

	"trimtab/weights"
)

// Row is the score of one finished cell, as --json writes it and rows.ndjson keeps it. Times of requests are the
// clients', of those due after the warm-up.
type Row struct {
	Scenario      string  `json:"scenario"`
	Policy        string  `json:"policy"`
	World         string  `json:"world"`
	Seed          uint64  `json:"seed"`
	Requests      uint64  `json:"requests"`
	Errors        uint64  `json:"errors"`
	ErrorRatio    float64 `json:"error_ratio"`
	RatePerSec    float64 `json:"rate_per_s"`
	LatencyMS     Latency `json:"latency_ms"`
	ARTPerRequest float64 `json:"art_per_request"`
	Reloads       int     `json:"reloads"`
	Intervals     int     `json:"intervals"`
	// IntervalsTo90Pct is how many control intervals passed until nine tenths of the gap between equal weights and the
	// oracle were closed; null when it never was, when there is no gap, or when either was not played.
	IntervalsTo90Pct *int `json:"intervals_to_90pct"`
	// RegretVsOracle is ARTPerRequest less the oracle's on the same method and seed; null without an oracle.
	RegretVsOracle *float64    `json:"regret_vs_oracle"`
	Weights        weights.Set `json:"weights"` // at the end
	DurationSec    float64     `json:"duration_s"`
	ElapsedSec     float64     `json:"elapsed_s"` // it took to play
	Groups         []GroupRow  `json:"groups"`
	// Objective is the score by the scenario's objective; nil: it names none.
	Objective *ObjectiveRow `json:"objective,omitempty"`
}

// GroupRow is the part of one upstream group in a Row.
type GroupRow struct {
	Upstream      string             `json:"upstream"`
	Requests      uint64             `json:"requests"`
	Errors        uint64             `json:"errors"`
	LatencyMS     Latency            `json:"latency_ms"`
	ARTPerRequest float64            `json:"art_per_request"`
	DeadlineMS    float64            `json:"deadline_ms"`
	Shares        map[string]float64 `json:"shares"` // of the attempts, by server
}

// Latency is a latency distribution in ms.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func latencyOf(d Distribution) Latency {
	return Latency{
		Mean: msec(d.Mean()), P50: msec(d.Quantile(0.5)), P90: msec(d.Quantile(0.9)),
		P99: msec(d.Quantile(0.99)), P999: msec(d.Quantile(0.999)), Max: msec(d.Max()),
	}
}

// toDuration is a time of so many ms.
func toDuration(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

func msec(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Point is one control interval of a cell, as trace.ndjson keeps it.
type Point struct {
	AtSec         float64         `json:"at_s"`
	Requests      uint64          `json:"requests"`
	Errors        uint64          `json:"errors"`
	ARTPerRequest float64         `json:"art_per_request"`
	MeanMS        float64         `json:"mean_ms"`
	P99MS         float64         `json:"p99_ms"`
	Weights       weights.Set     `json:"weights"` // in force at its end
	Reason        string          `json:"reason,omitempty"`
	Objective     *ObjectivePoint `json:"objective,omitempty"`
}

// Trace is the course of one cell.
type Trace struct {
	Scenario string  `json:"scenario"`
	Policy   string  `json:"policy"`
	World    string  `json:"world"`
	Seed     uint64  `json:"seed"`
	Points   []Point `json:"points"`
	// Quantiles are the latencies in ms at the levels of QuantileLevels.
	Quantiles []float64 `json:"quantiles_ms"`
}

// QuantileLevels are the levels at which a Trace keeps the distribution of latencies.
func QuantileLevels() []float64 {
	return []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.96, 0.97, 0.98, 0.985,
		0.99, 0.9925, 0.995, 0.9975, 0.999, 0.9995, 0.9999, 1}
}
