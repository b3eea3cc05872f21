package estimate

import "trimtab/tuner/params"

// shift is the one statistic of change: two-sided cumulative sums (Page 1954) of the deviations of a server. A
// deviation counts for at most OutlierSD within Persistence, so that no single pause is a change, however long it made
// requests wait.
type shift struct {
	up, down float64
	lasted   float64 // s since the sum in question left zero
	found    bool
}

// observe takes in the deviation of an interval, in standard deviations, and reports whether the server has changed.
func (c *shift) observe(p *params.Params, seconds, z float64) bool {
	most := p.OutlierSD * max(1, seconds/p.Persistence)
	z = max(-most, min(most, z))
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
		*c = shift{found: true}
	}
	return c.found
}
