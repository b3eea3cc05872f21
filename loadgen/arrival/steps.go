package arrival

import (
	"fmt"
	"time"
)

// Point is a rate in requests per second at an offset from the start.
type Point struct {
	At   time.Duration
	Rate float64
}

// steps is a rate that is constant between points.
type steps []Point

// Steps returns the rate that jumps to each point's rate at that point's offset and holds it until the next; before
// the first point it is 0, after the last it holds; without points it is 0. Offsets must rise.
func Steps(points ...Point) (Rate, error) {
	for i, p := range points {
		if err := checkRate(fmt.Sprintf("rate at %s", p.At), p.Rate); err != nil {
			return nil, err
		}
		switch {
		case p.At < 0:
			return nil, fmt.Errorf("rate at %s: offset must not be negative", p.At)
		case i > 0 && p.At <= points[i-1].At:
			return nil, fmt.Errorf("rate at %s after %s: offsets must rise", p.At, points[i-1].At)
		}
	}
	if len(points) == 1 && points[0].At == 0 {
		return Constant(points[0].Rate), nil
	}
	return steps(points), nil
}

// segment returns the index of the last point at or before t, −1 before the first.
func (s steps) segment(t time.Duration) int {
	i := len(s) - 1
	for i >= 0 && s[i].At > t {
		i--
	}
	return i
}

// At implements Rate.
func (s steps) At(t time.Duration) float64 {
	if i := s.segment(t); i >= 0 {
		return s[i].Rate
	}
	return 0
}

// Area implements Rate.
func (s steps) Area(from, to time.Duration) (area float64) {
	for i := max(0, s.segment(from)); i < len(s) && s[i].At < to; i++ {
		end := to
		if i+1 < len(s) {
			end = min(end, s[i+1].At)
		}
		if width := end - max(from, s[i].At); width > 0 {
			area += width.Seconds() * s[i].Rate
		}
	}
	return area
}

// After implements Rate.
func (s steps) After(t time.Duration, area float64) (time.Duration, bool) {
	i := s.segment(t)
	if i < 0 {
		if len(s) == 0 {
			return 0, false
		}
		i, t = 0, s[0].At
	}
	for ; i < len(s)-1; i++ {
		piece := (s[i+1].At - t).Seconds() * s[i].Rate
		if area <= piece && piece > 0 {
			return offset(t, area/s[i].Rate)
		}
		area -= piece
		t = s[i+1].At
	}
	if s[i].Rate <= 0 {
		return 0, false
	}
	return offset(t, area/s[i].Rate)
}
