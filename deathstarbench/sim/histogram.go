package sim

import (
	"math"
	"math/bits"
	"time"
)

// Histogram counts times in buckets whose width is at most 1/128 of their value (log-linear, as HDR histograms), from
// 1 µs to 2⁴⁰ µs. The zero value is ready. Recording costs one increment and never allocates.
type Histogram struct {
	counts   [histogramSize]uint32
	n        uint64
	sum      float64 // µs
	squares  float64 // µs²
	min, max int64   // µs
}

const (
	subBits       = 7
	histogramSize = (40 - subBits + 1) << subBits
)

func bucketOf(us int64) int {
	if us < 1<<subBits {
		return int(us)
	}
	shift := bits.Len64(uint64(us)) - subBits - 1
	return min(shift<<subBits+int(us>>shift), histogramSize-1)
}

// bounds returns the smallest time of bucket i and that of the next, in µs.
func bounds(i int) (low, high float64) {
	if i < 1<<(subBits+1) {
		return float64(i), float64(i + 1)
	}
	shift := i>>subBits - 1
	base := int64(i-shift<<subBits) << shift
	return float64(base), float64(base + 1<<shift)
}

// Record counts one time.
func (h *Histogram) Record(d time.Duration) { h.record(int64(d)) }

func (h *Histogram) record(ns int64) {
	us := max(ns, 0) / 1000
	if h.n == 0 || us < h.min {
		h.min = us
	}
	if us > h.max {
		h.max = us
	}
	h.counts[bucketOf(us)]++
	h.n++
	t := float64(ns) / 1000
	h.sum += t
	h.squares += t * t
}

// Count is how many times were recorded.
func (h *Histogram) Count() uint64 { return h.n }

// Mean is the mean of all times; 0 without any.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.n) * 1000)
}

// Deviation is the standard deviation of all times; 0 without any.
func (h *Histogram) Deviation() time.Duration {
	if h.n == 0 {
		return 0
	}
	mean := h.sum / float64(h.n)
	return time.Duration(math.Sqrt(math.Max(0, h.squares/float64(h.n)-mean*mean)) * 1000)
}

// Max is the longest time.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) * time.Microsecond }

// Quantile returns the q-quantile, 0 ≤ q ≤ 1, linear inside a bucket; 0 without any times.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := math.Max(q*float64(h.n), 1)
	seen := 0.0
	for i := bucketOf(h.min); i <= bucketOf(h.max); i++ {
		c := float64(h.counts[i])
		if c > 0 && seen+c >= rank {
			low, high := bounds(i)
			us := low + (high-low)*(rank-seen)/c
			return time.Duration(math.Min(us, float64(h.max+1)) * 1000)
		}
		seen += c
	}
	return h.Max()
}

// Merge adds all times of o.
func (h *Histogram) Merge(o *Histogram) { h.MergeTimes(o, 1) }

// MergeTimes adds all times of o, each so many times.
func (h *Histogram) MergeTimes(o *Histogram, times uint32) {
	if o.n == 0 || times == 0 {
		return
	}
	if h.n == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	for i := bucketOf(o.min); i <= bucketOf(o.max); i++ {
		h.counts[i] += times * o.counts[i]
	}
	h.n += uint64(times) * o.n
	h.sum += float64(times) * o.sum
	h.squares += float64(times) * o.squares
}

// Below is how many times are shorter than d, linear inside a bucket.
func (h *Histogram) Below(d time.Duration) float64 {
	us := float64(d) / 1000
	if h.n == 0 || us <= float64(h.min) {
		return 0
	}
	if us > float64(h.max) {
		return float64(h.n)
	}
	sum := 0.0
	for i := bucketOf(h.min); i <= bucketOf(h.max); i++ {
		low, high := bounds(i)
		if us < high {
			return sum + float64(h.counts[i])*(us-low)/(high-low)
		}
		sum += float64(h.counts[i])
	}
	return sum
}

// Reset forgets all times.
func (h *Histogram) Reset() {
	if h.n > 0 {
		clear(h.counts[bucketOf(h.min) : bucketOf(h.max)+1])
	}
	h.n, h.sum, h.squares, h.min, h.max = 0, 0, 0, 0, 0
}
