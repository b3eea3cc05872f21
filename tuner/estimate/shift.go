package estimate

import (
	"math"

	"trimtab/tuner/params"
)

// shift is the one statistic of change: two-sided cumulative sums (Page 1954) of the deviations of a server. A
// deviation counts for at most OutlierSD within Persistence, so that no single pause is a change, however long it made
// requests wait. Where a server always deviates by more than is expected of it, deviations are measured by that.
type shift struct {
	up, down float64
	lasted   float64 // s since the sum in question left zero
	found    bool
	excess   float64 // of the mean square of deviations over 1: chance that no model of a server knows
}

// observe takes in the deviation of an interval, in standard deviations, and reports whether the server has changed.
func (c *shift) observe(p *params.Params, seconds, z float64) bool {
	z /= math.Sqrt(1 + c.excess)
	most := p.OutlierSD * max(1, seconds/p.Persistence)
	z = max(-most, min(most, z))
	c.excess = max(0, c.excess+(1-math.Exp(-seconds/p.EvidenceMemory))*(z*z-1)*(1+c.excess))
	c.up = max(0, c.up+z-p.ChangeSlack)
	c.down = max(0, c.down-z-p.ChangeSlack)
	if c.up == 0 && c.down == 0 {
		c.lasted = 0
		c.found = false
		return false
	}
	c.lasted += seconds
	c.found = max(c.up, c.down) > p.ChangeAlarm && c.lasted >= p.Persistence
	if c.found {
		*c = shift{found: true, excess: c.excess}
	}
	return c.found
}
