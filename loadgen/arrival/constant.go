package arrival

import "time"

// Constant is a rate that does not change, in requests per second.
type Constant float64

// At implements Rate.
func (c Constant) At(time.Duration) float64 { return max(0, float64(c)) }

// Area implements Rate.
func (c Constant) Area(from, to time.Duration) float64 {
	return max(0, float64(c)*(to-from).Seconds())
}

// After implements Rate.
func (c Constant) After(t time.Duration, area float64) (time.Duration, bool) {
	if c <= 0 {
		return 0, false
	}
	return offset(t, area/float64(c))
}
