package live

import (
	"math"
	"time"
)

// Refusals says how many requests admission refused in a span of time. The counts are asked for apart from the status
// page, which may be a poll older: counts of one span and requests of another say a load that nobody offered. Between
// two readings as many are taken to be refused at any time. It is used by one goroutine.
type Refusals struct {
	readings []reading // the last ones, the newest last
}

// reading is what the counts were at a time.
type reading struct {
	at      time.Time
	refused map[string]uint64 // by upstream, since NGINX started
}

// mostReadings bounds the memory: a status page is older than that many readings only when it is of no use any more.
const mostReadings = 8

// Read takes in what admission says at a time. Counts that fell are those of an NGINX that was restarted: what was read
// before is forgotten.
func (r *Refusals) Read(at time.Time, state map[string]AdmissionState) {
	next := reading{at, make(map[string]uint64, len(state))}
	for name, s := range state {
		next.refused[name] = s.Refused
		if n := len(r.readings); n > 0 && s.Refused < r.readings[n-1].refused[name] {
			r.readings = nil
		}
	}
	r.readings = append(r.readings[max(0, len(r.readings)-mostReadings+1):], next)
}

// Between is how many requests of an upstream were refused after from and until to, as far back as there are readings.
// Spans that follow each other add up to what was counted.
func (r *Refusals) Between(upstream string, from, to time.Time) uint64 {
	return r.until(upstream, to) - r.until(upstream, from)
}

// until is the count at a time; before the first reading and after the last it is that of the reading.
func (r *Refusals) until(upstream string, at time.Time) uint64 {
	for i := len(r.readings) - 1; i >= 0; i-- {
		v := &r.readings[i]
		if at.Before(v.at) {
			continue
		}
		count := float64(v.refused[upstream])
		if i+1 < len(r.readings) {
			next := &r.readings[i+1]
			part := float64(at.Sub(v.at)) / float64(next.at.Sub(v.at))
			count += part * (float64(next.refused[upstream]) - count)
		}
		return uint64(math.Round(count))
	}
	if len(r.readings) > 0 {
		return r.readings[0].refused[upstream]
	}
	return 0
}
