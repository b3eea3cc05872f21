package tuner

import (
	"math"
	"time"
)

// budget limits changes: `burst` within `window` of the first interval, then `perMinute` in any minute.
type budget struct {
	burst     int
	window    time.Duration
	perMinute int
	unlimited bool

	elapsed time.Duration   // since the first interval
	spent   []time.Duration // when changes were made, the last 64 of them
}

func (b *budget) advance(by time.Duration) { b.elapsed += by }

// left is how many changes may be made now.
func (b *budget) left() int {
	if b.unlimited {
		return b.burst
	}
	inWindow, lastMinute := 0, 0
	for _, at := range b.spent {
		if at <= b.window {
			inWindow++
		}
		if b.elapsed-at < time.Minute {
			lastMinute++
		}
	}
	if b.elapsed <= b.window {
		return max(0, b.burst-inWindow)
	}
	return max(0, b.perMinute-lastMinute)
}

func (b *budget) spend() {
	b.spent = append(b.spent, b.elapsed)
	const keep = 64
	if len(b.spent) > keep {
		b.spent = append(b.spent[:0], b.spent[len(b.spent)-keep:]...)
	}
}

// recent is the number of changes made in the time given, each counting exp(−age/scale).
func (b *budget) recent(scale, within time.Duration) float64 {
	n := 0.0
	for _, at := range b.spent {
		if age := b.elapsed - at; age < within {
			n += math.Exp(-float64(age) / float64(scale))
		}
	}
	return n
}
