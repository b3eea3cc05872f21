package load

// RateStanding is where a Rate stands, as plain data.
type RateStanding struct {
	PerSec float64 `json:"per_s"`
	Sec    float64 `json:"s"` // behind it
}

// Standing returns where the rate stands.
func (r *Rate) Standing() RateStanding { return RateStanding{PerSec: r.perSec, Sec: r.sec} }

// Sound reports whether a rate may stand there.
func (s RateStanding) Sound() bool { return sound(s.PerSec, s.Sec) }

// Resume makes the rate stand where Sound found it may.
func (r *Rate) Resume(s RateStanding) { r.perSec, r.sec = s.PerSec, s.Sec }
