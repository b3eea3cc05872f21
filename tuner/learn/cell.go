package learn

import "math"

// Cell is one entry of a Q table: the value of an action in a regime.
type Cell struct {
	Value  float64 `json:"value"`
	Visits float64 `json:"visits"` // rewarded intervals
}

// Update is Q ← Q + α(r + γ·max Q' − Q) with α = max(1/n, least).
func (c *Cell) Update(reward, gamma, next, least float64) {
	c.Visits++
	alpha := math.Max(1/c.Visits, least)
	c.Value += alpha * (reward + gamma*next - c.Value)
}
