package gate

// Ejection is the state of one server of one group that may be marked down for failing. Times are seconds of control time.
type Ejection struct {
	Active   bool    `json:"active"` // down by our doing
	SinceSec float64 `json:"since_s"`
	WaitSec  float64 `json:"wait_s"` // until it is tried again; doubles with every relapse
}

const (
	ejectAt      = 0.25 // share of failures that ejects
	ejectFirst   = 30   // s
	ejectMost    = 600  // s
	ejectForgets = 4    // waits without a relapse after which the next one is the first
)

// Due reports whether an ejected server is to be tried again.
func (e *Ejection) Due(now float64) bool { return e.Active && now-e.SinceSec >= e.WaitSec }

// Fails reports whether a server that fails such a share of its requests is to be ejected.
func (e *Ejection) Fails(share float64) bool { return !e.Active && share >= ejectAt }

// Committed tells that the server was marked down, or let back, at the time now.
func (e *Ejection) Committed(down bool, now float64) {
	if down == e.Active {
		return
	}
	if down {
		if now-e.SinceSec > ejectForgets*e.WaitSec {
			e.WaitSec = 0
		}
		e.WaitSec = min(ejectMost, max(ejectFirst, 2*e.WaitSec))
	}
	e.Active, e.SinceSec = down, now
}

// MostEjected is how many of n servers of a group may be ejected at once: one in ten, and at least one.
func MostEjected(n int) int { return max(1, n/10) }
