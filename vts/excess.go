package vts

import (
	"math"
	"slices"
)

// Tally is what one server did, reduced to what its peers can be asked about: of one interval, or a sum of several in
// which older ones count less. All fields are counts or sums of ms, at least 0.
type Tally struct {
	Requests     float64 // finished attempts
	ClientErrors float64 // of them 4xx: what the client did wrong, or had to wait too long for (499)
	Errors       float64 // of them 5xx
	RequestMsec  float64 // sum of their request times
	ResponseMsec float64 // sum of their upstream response times
}

// Tally returns what p did in its interval.
func (p PeerSample) Tally() Tally {
	return Tally{
		Requests:     float64(p.Requests),
		ClientErrors: float64(p.Responses[3]),
		Errors:       float64(p.Responses.Errors()),
		RequestMsec:  float64(p.RequestMsec),
		ResponseMsec: float64(p.ResponseMsec),
	}
}

// Fade returns keep·t + more: keep = exp(-interval/memory) gives sums that forget with a time constant of memory.
func (t Tally) Fade(keep float64, more Tally) Tally {
	return Tally{
		Requests:     keep*t.Requests + more.Requests,
		ClientErrors: keep*t.ClientErrors + more.ClientErrors,
		Errors:       keep*t.Errors + more.Errors,
		RequestMsec:  keep*t.RequestMsec + more.RequestMsec,
		ResponseMsec: keep*t.ResponseMsec + more.ResponseMsec,
	}
}

// judged is how many attempts could have ended in a client error: those that the server did not fail itself.
func (t Tally) judged() float64 { return max(t.Requests-t.Errors, 0) }

// wait is the request time beyond the response time, ms.
func (t Tally) wait() float64 { return max(t.RequestMsec-t.ResponseMsec, 0) }

// plus adds sign·u, sign being 1 or -1; what rounding leaves below 0 is 0.
func (t Tally) plus(sign float64, u Tally) Tally {
	return Tally{
		Requests:     max(t.Requests+sign*u.Requests, 0),
		ClientErrors: max(t.ClientErrors+sign*u.ClientErrors, 0),
		Errors:       max(t.Errors+sign*u.Errors, 0),
		RequestMsec:  max(t.RequestMsec+sign*u.RequestMsec, 0),
		ResponseMsec: max(t.ResponseMsec+sign*u.ResponseMsec, 0),
	}
}

// Excess is what one server did worse than its peers although all of them get the same mix of requests, so that it is
// the server's doing and not the clients'. All fields are at least 0; all are 0 for a server that does as its peers do,
// and for one without peers to compare it with.
type Excess struct {
	// ClientErrors is the number of 4xx above the peers' share: a server that answers 429, or that clients give up on
	// (499), although they get answers elsewhere. With c 4xx of m attempts that did not end in a 5xx, and a share q of
	// 4xx at the reference, it is max(0, c - m·q). It is at most c.
	ClientErrors float64
	// Unanswered is how many of ClientErrors are attempts that nobody waited to the end of. A page does not count
	// them; they are known by their time, which both pages put into the request time (nginx-module-vts gives them 0
	// ms of response time, the shim the whole). With a mean request time r at the reference, it is min(ClientErrors,
	// max(0, RequestMsec - Requests·r) / r): an attempt is abandoned after twice the usual time or more.
	Unanswered float64
	// UnansweredMsec is the request time in excess of the peers' that goes with Unanswered, ms:
	// max(0, RequestMsec - Requests·r), and 0 without ClientErrors.
	UnansweredMsec float64
	// WaitMsec is the request time beyond the response time, above the peers', ms: with W = max(0, RequestMsec -
	// ResponseMsec) and a mean of w per attempt at the reference, max(0, W - Requests·w). Without ClientErrors it is
	// what clients that read or write slowly cost, which falls on servers by chance and in large pieces.
	WaitMsec float64
}

// Excess compares every server of the group with its peers; the result has one entry per server, in the order of Peers.
// See [Excesses]; servers that are down or backups, which get other requests or none, are neither compared nor asked.
func (g GroupSample) Excess() []Excess {
	tallies := make([]Tally, len(g.Peers))
	for i, p := range g.Peers {
		if !p.Backup && !p.Down {
			tallies[i] = p.Tally()
		}
	}
	return Excesses(tallies)
}

// ExcessClientErrors is the number of 4xx of server i above its peers' share: [Excess.ClientErrors] of Excess()[i].
func (g GroupSample) ExcessClientErrors(i int) float64 { return g.Excess()[i].ClientErrors }

// Unanswered is the number of attempts on server i that were given up, above its peers: [Excess.Unanswered] of
// Excess()[i].
func (g GroupSample) Unanswered(i int) float64 { return g.Excess()[i].Unanswered }

// peerEvidence is the log-likelihood ratio, in nats, from which on two shares of 4xx differ by more than chance.
// Twice the ratio is distributed as χ² with one degree of freedom when they do not (Wilks): 8 is passed in 1 of
// 30,000 cases.
const peerEvidence = 8

// Excesses compares servers that get the same mix of requests; tallies without requests are passed over. It returns one
// entry per tally and runs in O(n log n).
//
// The reference of a server is all its peers together, without those that stand out themselves: from the highest
// share of 4xx down, a server leaves the reference when its share is above that of all others still in it by more
// than chance (log-likelihood ratio of two binomial shares, peerEvidence). So two bad servers of five do not hide
// each other, client errors that all share are nobody's fault, and where everything but one server fails, that one is
// the reference. Only servers whose share is above their reference's by more than chance have ClientErrors at all; a
// few requests prove little, so callers add up what falls into their memory (see Fade) rather than results.
func Excesses(tallies []Tally) []Excess {
	out := make([]Excess, len(tallies))
	var reference Tally
	order := make([]int, 0, len(tallies))
	for i, t := range tallies {
		reference = reference.plus(1, t)
		if t.judged() > 0 {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := tallies[a], tallies[b]
		switch p, q := x.ClientErrors*y.judged(), y.ClientErrors*x.judged(); {
		case p > q:
			return -1
		case p < q:
			return 1
		}
		return a - b
	})
	left := make([]bool, len(tallies))
	for _, i := range order {
		if others := reference.plus(-1, tallies[i]); standsOut(tallies[i], others) {
			reference, left[i] = others, true
		}
	}
	for i, t := range tallies {
		if t.Requests <= 0 {
			continue
		}
		others := reference
		if !left[i] {
			others = reference.plus(-1, t)
		}
		out[i] = against(t, others)
	}
	return out
}

// against returns the excess of t over the reference.
func against(t, reference Tally) Excess {
	if reference.Requests < 0.5 { // what rounding leaves of nobody
		return Excess{}
	}
	e := Excess{WaitMsec: max(0, t.wait()-t.Requests*reference.wait()/reference.Requests)}
	if !standsOut(t, reference) {
		return e
	}
	e.ClientErrors = max(0, t.ClientErrors-t.judged()*reference.ClientErrors/reference.judged())
	usual := max(reference.RequestMsec/reference.Requests, 1) // the page counts whole ms
	e.UnansweredMsec = max(0, t.RequestMsec-t.Requests*usual)
	e.Unanswered = min(e.ClientErrors, e.UnansweredMsec/usual)
	return e
}

// standsOut reports whether the share of 4xx of t is above that of the others by more than chance.
func standsOut(t, others Tally) bool {
	m, n := t.judged(), others.judged()
	if m <= 0 || n < 0.5 {
		return false
	}
	p, q := min(t.ClientErrors/m, 1), min(others.ClientErrors/n, 1)
	if p <= q {
		return false
	}
	both := (m*p + n*q) / (m + n)
	return m*divergence(p, both)+n*divergence(q, both) >= peerEvidence
}

// divergence is the Kullback–Leibler divergence of a binary event of probability p from one of probability q, in nats;
// q is between 0 and 1 where p is.
func divergence(p, q float64) float64 {
	d := 0.0
	if p > 0 {
		d += p * math.Log(p/q)
	}
	if p < 1 {
		d += (1 - p) * math.Log((1-p)/(1-q))
	}
	return max(d, 0)
}
