package gate

// Ejection is the state of one server of one group that may be marked down for failing. Times are seconds of control
// time.
type Ejection struct {
	Active   bool    `json:"active"` // down by our doing
	SinceSec float64 `json:"since_s"`
	WaitSec  float64 `json:"wait_s"`            // until it is tried again; doubles with every relapse that was dear
	Trusted  bool    `json:"trusted,omitempty"` // it was let back because it answered who asked it
	Misled   bool    `json:"misled,omitempty"`  // and failed all the same
	Cost     float64 `json:"cost"`              // of a request of its group when it was marked down, in deadlines
	Vain     bool    `json:"vain,omitempty"`    // it was let back because without it requests cost more

	Asked, Answers bool `json:"-"` // somebody asks it beside NGINX, and it answers
}

// EjectAt is the share of failures that ejects a server which the others can spare, EjectAlways that of one which is no
// loss.
const (
	EjectAt     = 0.25
	EjectAlways = 0.9
)

const (
	ejectFirst   = 20   // s: a short failure is over within ten intervals of 3 s
	ejectMost    = 600  // s
	ejectForgets = 4    // waits without a relapse after which the next one is the first
	ejectDear    = 0.05 // share of a group's requests that make a relapse dear
	ejectRegret  = 1    // deadlines per request by which it was dearer to go without
)

// EjectPart is the share of a group's requests from which a server that fails is ejected where its weight should have
// kept them away: one that hangs holds many, and is hardly picked any more.
const EjectPart = 0.02

// Due reports whether an ejected server is to be tried again: when it answers who asks it, or, where nobody asks or its
// answers were worth nothing, when its time is over.
func (e *Ejection) Due(now float64) bool {
	if !e.Active {
		return false
	}
	waited := now-e.SinceSec >= e.WaitSec
	if e.Asked {
		return e.Answers && (waited || !e.Misled)
	}
	return waited
}

// Regrets reports whether requests of the group cost more, in deadlines, than before the server was marked down: the
// others cannot carry what it would refuse.
func (e *Ejection) Regrets(cost float64) bool { return e.Active && cost > e.Cost+ejectRegret }

// Fails reports whether a server that fails such a share of its requests is to be ejected. If that was in vain, it is
// not for as long as it would have been out.
func (e *Ejection) Fails(share, now float64) bool {
	return !e.Active && share >= EjectAt && !(e.Vain && now-e.SinceSec < e.WaitSec)
}

// Committed tells that the server was marked down, or let back, at the time now; part is its share of the group's
// requests then, cost what one of them costs.
func (e *Ejection) Committed(down bool, part, cost, now float64) {
	if down == e.Active {
		return
	}
	switch relapse := e.WaitSec > 0 && now-e.SinceSec <= ejectForgets*e.WaitSec; {
	case !down:
		e.Trusted = e.Asked && e.Answers
		e.Vain = !e.Trusted && now-e.SinceSec < e.WaitSec
	case !relapse:
		e.WaitSec, e.Misled = ejectFirst, false
	default:
		if e.Misled = e.Misled || e.Trusted; part > ejectDear {
			e.WaitSec = min(ejectMost, 2*e.WaitSec)
		}
	}
	e.Active, e.SinceSec, e.Asked, e.Answers = down, now, false, false
	if down {
		e.Cost = cost
	}
}

// MostEjected is how many of n servers of a group may be ejected at once: one in ten, and at least one.
func MostEjected(n int) int { return max(1, n/10) }
