package loadgen

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Range and precision of a latency histogram: values are kept in microseconds with three significant digits, so that
// a quantile is off by at most 0.1 % or one microsecond. Longer values count as the longest.
const (
	longest           = 2 * time.Hour
	significantDigits = 3
)

// Latencies is a latency histogram. It is not safe for concurrent use.
type Latencies struct {
	hist *hdrhistogram.Histogram // microseconds
	sum  time.Duration
	max  time.Duration
}

// NewLatencies returns an empty histogram.
func NewLatencies() *Latencies {
	return &Latencies{hist: hdrhistogram.New(1, int64(longest/time.Microsecond), significantDigits)}
}

// Record counts d; negative values count as 0.
func (l *Latencies) Record(d time.Duration) {
	d = max(0, d)
	us := min(int64((d+time.Microsecond/2)/time.Microsecond), int64(longest/time.Microsecond))
	_ = l.hist.RecordValue(us) // cannot fail: us is within the range
	l.sum += d
	l.max = max(l.max, d)
}

// Count returns the number of values recorded.
func (l *Latencies) Count() int64 { return l.hist.TotalCount() }

// Mean returns the exact mean, 0 when empty.
func (l *Latencies) Mean() time.Duration {
	if n := l.Count(); n > 0 {
		return l.sum / time.Duration(n)
	}
	return 0
}

// Max returns the exact maximum, 0 when empty.
func (l *Latencies) Max() time.Duration { return l.max }

// Quantile returns the smallest value that at least the share q (0…1) of the values do not exceed, 0 when empty.
func (l *Latencies) Quantile(q float64) time.Duration {
	if l.Count() == 0 {
		return 0
	}
	d := time.Duration(l.hist.ValueAtQuantile(100*min(max(q, 0), 1))) * time.Microsecond
	return min(d, l.max)
}

// Merge adds the values of other.
func (l *Latencies) Merge(other *Latencies) {
	l.hist.Merge(other.hist)
	l.sum += other.sum
	l.max = max(l.max, other.max)
}

// Reset forgets all values.
func (l *Latencies) Reset() {
	l.hist.Reset()
	l.sum, l.max = 0, 0
}

// Summary is a latency distribution in milliseconds, as reports show it.
type Summary struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Summary returns the distribution in milliseconds, rounded to the microsecond.
func (l *Latencies) Summary() Summary {
	return Summary{
		Mean: Milliseconds(l.Mean()),
		P50:  Milliseconds(l.Quantile(0.5)),
		P90:  Milliseconds(l.Quantile(0.9)),
		P99:  Milliseconds(l.Quantile(0.99)),
		P999: Milliseconds(l.Quantile(0.999)),
		Max:  Milliseconds(l.Max()),
	}
}

// Milliseconds returns d in milliseconds, rounded to the microsecond.
func Milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}
