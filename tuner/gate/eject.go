package gate

// Ejection is the state of one server of one group that may be left out for failing: marked down, or with next to no
// weight. Times are seconds of control time.
type Ejection struct {
	Active   bool    `json:"active"` // out by our doing
	SinceSec float64 `json:"since_s"`
	WaitSec  float64 `json:"wait_s"`            // until it is tried again; doubles with every relapse that was dear
	Trusted  bool    `json:"trusted,omitempty"` // it was let back because it answered who asked it
	Misled   bool    `json:"misled,omitempty"`  // and failed all the same
	Cost     float64 `json:"cost"`              // of a request of its group when it was left out, in deadlines
	Vain     bool    `json:"vain,omitempty"`    // it was let back because the others could not do without it

	Asked, Answers bool `json:"-"` // somebody asks it beside NGINX, and it answers
}

// EjectAt is the share of failures that ejects a server which the others can spare, EjectTry that of one which is left
// out to see whether they can.
const (
	EjectAt  = 0.25
	EjectTry = 0.5
)

const (
	ejectFirst   = 20   // s: a short failure is over within ten intervals of 3 s
	ejectMost    = 600  // s
	ejectForgets = 4    // waits without a relapse after which the next one is the first
	ejectVain    = 2    // waits for which a server that the others could not do without is left alone
	ejectDear    = 0.05 // share of a group's requests that make a relapse dear
	ejectDearer  = 1    // deadlines per request that are no chance
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

// Dearer reports whether requests of the group cost more, in deadlines, than before the server was left out.
func (e *Ejection) Dearer(cost float64) bool { return cost > e.Cost+ejectDearer }

// InVain reports whether the server was let back of late because the others could not carry what it would refuse.
func (e *Ejection) InVain(now float64) bool { return e.Vain && now-e.SinceSec < ejectVain*e.WaitSec }

// Fails reports whether a server that fails such a share of its requests is to be left out at the time now.
func (e *Ejection) Fails(share, now float64) bool {
	return !e.Active && share >= EjectAt && !e.InVain(now)
}

// Out tells that the server was left out at the time now; part is its share of the group's requests then, cost what one
// of them cost.
func (e *Ejection) Out(part, cost, now float64) {
	if e.Active {
		return
	}
	if relapse := e.WaitSec > 0 && now-e.SinceSec <= ejectForgets*e.WaitSec; !relapse {
		e.WaitSec, e.Misled = ejectFirst, false
	} else if e.Misled = e.Misled || e.Trusted; part > ejectDear {
		e.WaitSec = min(ejectMost, 2*e.WaitSec)
	}
	e.Active, e.SinceSec, e.Cost, e.Asked, e.Answers = true, now, cost, false, false
}

// Back tells that the server was let back at the time now; vain says that it was for what requests cost without it.
func (e *Ejection) Back(vain bool, now float64) {
	if !e.Active {
		return
	}
	e.Trusted, e.Vain = e.Asked && e.Answers, vain
	e.Active, e.SinceSec, e.Asked, e.Answers = false, now, false, false
}

// MostEjected is how many of n servers of a group may be ejected at once: one in ten, and at least one.
func MostEjected(n int) int { return max(1, n/10) }
