package control

// ObjectiveExplanation says how an objective other than tardiness is pursued.
type ObjectiveExplanation struct {
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	// Reward of the last interval, and what is expected of the setting in force and of the best that is known, per s.
	Reward   float64 `json:"reward"`
	InForce  float64 `json:"expected_in_force"`
	Best     float64 `json:"expected_best"`
	Capacity float64 `json:"capacity_units,omitempty"`
	// Services by upstream.
	Services map[string]ServiceExplanation `json:"services"`
	Levels   Levels                        `json:"levels"` // in force, beside weights
	Unused   []Unused                      `json:"unused,omitempty"`
	Looked   int                           `json:"settings_looked_at"`
	Played   int                           `json:"settings_played"`
}

// ServiceExplanation is the part of one upstream: measured in the last interval, and expected of the best setting.
type ServiceExplanation struct {
	BoundMS         float64 `json:"bound_ms"`
	OfferedPerSec   float64 `json:"offered_per_s"`
	CarriedPerSec   float64 `json:"carried_per_s"`
	DelayMS         float64 `json:"delay_ms"`
	Held            bool    `json:"held"`
	ExpectedPerSec  float64 `json:"expected_carried_per_s"`
	ExpectedDelayMS float64 `json:"expected_delay_ms"`
	ExpectedHeld    float64 `json:"expected_held_share"`
	// LeastDelayMS is the least delay that any setting gives; above the bound it cannot be met.
	LeastDelayMS float64 `json:"least_delay_ms"`
}
