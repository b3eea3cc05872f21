package words

import (
	"fmt"
	"math"
)

// MS writes a time in ms with two significant digits at least: "4.2 ms", "310 ms", "12.4 s".
func MS(ms float64) string {
	switch {
	case math.IsNaN(ms) || math.IsInf(ms, 0):
		return "–"
	case ms >= 10_000:
		return fmt.Sprintf("%.1f s", ms/1e3)
	case ms >= 10:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f ms", ms)
}

// pair writes two times in ms in the same unit, such as "310 → 45 ms".
func pair(a, b float64, between string) string {
	if math.Max(a, b) >= 10_000 {
		return fmt.Sprintf("%.1f%s%.1f s", a/1e3, between, b/1e3)
	}
	digits := func(ms float64) string {
		if ms >= 10 {
			return fmt.Sprintf("%.0f", ms)
		}
		return fmt.Sprintf("%.1f", ms)
	}
	return digits(a) + between + digits(b) + " ms"
}

// Percent writes a share without its sign: "20", "0.4".
func Percent(share float64) string {
	p := 100 * share
	switch {
	case math.IsNaN(p) || math.IsInf(p, 0):
		return "–"
	case p != 0 && math.Abs(p) < 1:
		return fmt.Sprintf("%.1f", p)
	}
	return fmt.Sprintf("%.0f", p)
}

// PerSec writes a rate.
func PerSec(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f/s", v)
	}
	return fmt.Sprintf("%.0f/s", v)
}

// Ratio says how a value changed: "p99 2.2 times higher", "p99 18 % lower", "p99 unchanged".
func Ratio(name string, before, after float64) string {
	if !(before > 0) || !(after > 0) || math.IsInf(before, 0) || math.IsInf(after, 0) {
		return name + " cannot be compared"
	}
	r, word := after/before, "higher"
	switch {
	case math.Abs(r-1) < 0.005:
		return name + " unchanged"
	case r < 1:
		word = "lower"
	}
	if big := math.Max(r, 1/r); big >= 2 {
		return fmt.Sprintf("%s %.1f times %s", name, big, word)
	}
	return fmt.Sprintf("%s %.0f %% %s", name, 100*math.Abs(r-1), word)
}
