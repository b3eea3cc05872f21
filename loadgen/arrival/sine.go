package arrival

import (
	"fmt"
	"math"
	"time"
)

// Sine is a rate that swings around a mean, for daily patterns: λ(t) = mean + amplitude·sin(2π·t/period + phase).
type Sine struct {
	mean, amplitude float64 // requests per second
	omega, phase    float64 // radians per second, radians
}

// NewSine returns a rate of mean ± amplitude requests per second; amplitude is at most mean, phase is in radians
// (0 starts at the mean and rises, −π/2 starts at the trough).
func NewSine(mean, amplitude float64, period time.Duration, phase float64) (*Sine, error) {
	if err := checkRate("mean rate", mean); err != nil {
		return nil, err
	}
	if mean == 0 || !(amplitude >= 0 && amplitude <= mean) {
		return nil, fmt.Errorf("sine rate %g ± %g/s: want a mean above 0 and an amplitude from 0 to the mean", mean,
			amplitude)
	}
	if period <= 0 || math.IsNaN(phase) || math.IsInf(phase, 0) {
		return nil, fmt.Errorf("sine rate with period %s and phase %g: want a period above 0 and a finite phase",
			period, phase)
	}
	return &Sine{mean: mean, amplitude: amplitude, omega: 2 * math.Pi / period.Seconds(),
		phase: math.Mod(phase, 2*math.Pi)}, nil
}

// At implements Rate.
func (s *Sine) At(t time.Duration) float64 { return s.at(t.Seconds()) }

func (s *Sine) at(x float64) float64 {
	return max(0, s.mean+s.amplitude*math.Sin(s.omega*x+s.phase))
}

// between is the integral of the rate over [x, x+d] in seconds. The difference of cosines is written as a product,
// cos a − cos b = 2·sin((a+b)/2)·sin((b−a)/2), so that short intervals do not cancel.
func (s *Sine) between(x, d float64) float64 {
	half := s.omega * d / 2
	return s.mean*d + 2*s.amplitude/s.omega*math.Sin(s.omega*x+s.phase+half)*math.Sin(half)
}

// Area implements Rate.
func (s *Sine) Area(from, to time.Duration) float64 {
	return max(0, s.between(from.Seconds(), (to-from).Seconds()))
}

// After implements Rate: Newton's method on the integral, kept inside a shrinking bracket.
func (s *Sine) After(t time.Duration, area float64) (time.Duration, bool) {
	if area <= 0 {
		return t, true
	}
	x := t.Seconds()
	swing := 2 * s.amplitude / s.omega // the integral stays within ± swing of mean·d
	low, high := max(0, (area-swing)/s.mean), (area+swing)/s.mean
	d := min(high, area/max(s.at(x), s.mean/2))
	for range 60 {
		excess := s.between(x, d) - area
		if excess > 0 {
			high = d
		} else {
			low = d
		}
		next := (low + high) / 2
		if slope := s.at(x + d); slope > 0 {
			if newton := d - excess/slope; newton > low && newton < high {
				next = newton
			}
		}
		if math.Abs(next-d) < 0.5e-9 { // half a nanosecond
			d = next
			break
		}
		d = next
	}
	return offset(t, d)
}
