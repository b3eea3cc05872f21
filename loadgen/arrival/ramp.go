package arrival

import (
	"fmt"
	"math"
	"time"
)

// piecewise is a rate that is linear between points; before the first point it is 0, after the last it holds.
// A jump is two points at one offset.
type piecewise struct {
	points []Point
	area   []float64 // integral of the rate from the first point up to each point
}

// Ramps returns the rate that is linear from point to point; before the first point it is 0, after the last it holds.
// Offsets must not fall; two points at one offset are a jump.
func Ramps(points ...Point) (Rate, error) { return newPiecewise(points) }

func newPiecewise(points []Point) (Rate, error) {
	if len(points) == 0 {
		return nil, fmt.Errorf("rate over time: want at least one point")
	}
	r := &piecewise{points: points, area: make([]float64, len(points))}
	for i, p := range points {
		if err := checkRate(fmt.Sprintf("rate at %s", p.At), p.Rate); err != nil {
			return nil, err
		}
		if p.At < 0 {
			return nil, fmt.Errorf("rate at %s: offset must not be negative", p.At)
		}
		if i == 0 {
			continue
		}
		last := points[i-1]
		if p.At < last.At {
			return nil, fmt.Errorf("rate at %s after %s: offsets must not fall", p.At, last.At)
		}
		r.area[i] = r.area[i-1] + (p.At-last.At).Seconds()*(p.Rate+last.Rate)/2
	}
	if len(points) == 1 && points[0].At == 0 {
		return Constant(points[0].Rate), nil
	}
	return r, nil
}

// segment returns the index of the last point at or before t, −1 before the first.
func (r *piecewise) segment(t time.Duration) int {
	i := len(r.points) - 1
	for i >= 0 && r.points[i].At > t {
		i--
	}
	return i
}

// At implements Rate.
func (r *piecewise) At(t time.Duration) float64 {
	i := r.segment(t)
	if i < 0 {
		return 0
	}
	p := r.points[i]
	if i == len(r.points)-1 {
		return p.Rate
	}
	q := r.points[i+1]
	return p.Rate + (q.Rate-p.Rate)*float64(t-p.At)/float64(q.At-p.At)
}

// until returns the integral of the rate from the first point to t.
func (r *piecewise) until(t time.Duration) float64 {
	i := r.segment(t)
	if i < 0 {
		return 0
	}
	return r.area[i] + (t-r.points[i].At).Seconds()*(r.points[i].Rate+r.At(t))/2
}

// Area implements Rate.
func (r *piecewise) Area(from, to time.Duration) float64 { return max(0, r.until(to)-r.until(from)) }

// After implements Rate. On a linear piece with rate a at its start and slope s the area y is reached after
// x = 2y/(a + √(a² + 2sy)), the form of the quadratic formula that does not cancel.
func (r *piecewise) After(t time.Duration, area float64) (time.Duration, bool) {
	i := r.segment(t)
	if i < 0 {
		i, t = 0, r.points[0].At
	}
	for ; i < len(r.points)-1; i++ {
		q := r.points[i+1]
		width := (q.At - t).Seconds()
		if width <= 0 {
			continue
		}
		a := r.At(t)
		piece := width * (a + q.Rate) / 2
		if area <= piece && piece > 0 {
			slope := (q.Rate - a) / width
			x := 2 * area / (a + math.Sqrt(max(0, a*a+2*slope*area)))
			if area == 0 {
				x = 0
			}
			due, _ := offset(t, min(x, width))
			return due, true
		}
		area -= piece
		t = q.At
	}
	last := r.points[len(r.points)-1].Rate
	if last <= 0 {
		return 0, false
	}
	return offset(t, area/last)
}
