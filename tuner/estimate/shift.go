package estimate

import (
	"math"

	"trimtab/tuner/params"
)

// deviation is how far the classes of a server are from what was expected, together.
type deviation struct{ sum, weight float64 }

func (d *deviation) add(innovation, variance float64) {
	d.sum += innovation / variance
	d.weight += 1 / variance
}

// sd is the deviation common to all classes in standard deviations.
func (d *deviation) sd() float64 {
	if d.weight == 0 {
		return 0
	}
	return d.sum / math.Sqrt(d.weight)
}

// shift is the one statistic of change: two-sided cumulative sums (Page 1954) of the deviations of a server. A
// deviation counts for at most OutlierSD within Persistence, so that no single pause is a change, however long it made
// requests wait.
type shift struct {
	up, down float64
	lasted   float64 // s since the sum in question left zero
	found    bool
	usual    float64 // mean square of the deviations beyond what is expected of them
}

// observe takes in the deviation of an interval, in standard deviations, and reports whether the server has changed.
func (c *shift) observe(p *params.Params, seconds, z float64) bool {
	z /= math.Sqrt(1 + c.usual)
	most := p.OutlierSD * max(1, seconds/p.Persistence)
	z = max(-most, min(most, z))
	c.usual = max(0, c.usual+(1-math.Exp(-seconds/p.EvidenceMemory))*(z*z-1)*(1+c.usual))
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
		*c = shift{found: true, usual: c.usual}
	}
	return c.found
}
