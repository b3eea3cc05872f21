package rival

import (
	"errors"
	"fmt"
	"math"
	"time"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// L3Config parameterises the L3 policy. The zero value of a field means its default.
type L3Config struct {
	HalfLife     time.Duration // of the moving averages; default 7 s
	ErrorPenalty time.Duration // added to the latency per 1/success − 1; default 600 ms
	DeadBand     float64       // smallest relative change of a share that is worth new weights; default 0.02
}

// Validate reports all faults.
func (c L3Config) Validate() error {
	var errs []error
	if c.HalfLife < 0 {
		errs = append(errs, fmt.Errorf("l3 half_life %v: want 0 (default) or more", c.HalfLife))
	}
	if c.ErrorPenalty < 0 {
		errs = append(errs, fmt.Errorf("l3 error_penalty %v: want 0 (default) or more", c.ErrorPenalty))
	}
	if c.DeadBand < 0 || c.DeadBand >= 1 {
		errs = append(errs, fmt.Errorf("l3 dead_band %v: want 0 (default) to below 1", c.DeadBand))
	}
	return errors.Join(errs...)
}

// L3 weighs by inverse latency as the L3 controller does (Middleware 2024):
//
//	w = max(1, 100 / ((R+1)²·L)),  R = in-flight/rate,  L = latency + 0.6 s·(1/success − 1)
//
// in seconds, with exponential moving averages over the intervals. By Little's law R is the mean response time.
// Weights are rescaled to 1…100 as a vector. It has no memory of load and no model: it is what Trimtab has to beat.
type L3 struct {
	control.Fixed
	cfg   L3Config
	peers map[peerKey]*l3Peer
}

type peerKey struct{ group, server string }

type l3Peer struct {
	requests, responseSec, errors float64 // moving sums, all decaying alike
}

// NewL3 returns the L3 policy.
func NewL3(cfg L3Config) (*L3, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.HalfLife == 0 {
		cfg.HalfLife = 7 * time.Second
	}
	if cfg.ErrorPenalty == 0 {
		cfg.ErrorPenalty = 600 * time.Millisecond
	}
	if cfg.DeadBand == 0 {
		cfg.DeadBand = 0.02
	}
	return &L3{cfg: cfg, peers: make(map[peerKey]*l3Peer)}, nil
}

var _ control.Policy = (*L3)(nil)

// Observe implements control.Policy.
func (l *L3) Observe(s vts.Sample, inForce weights.Set) {
	w := make(weights.Set)
	for _, g := range s.Groups {
		x, ok := l.shares(g, s.Interval)
		if !ok {
			continue
		}
		candidate := settings(g, weights.Quantise(x))
		if !withinBand(candidate, inForce[g.Name], l.cfg.DeadBand) {
			w[g.Name] = candidate
		}
	}
	l.Decision = control.Decision{Weights: w, Reason: fmt.Sprintf("inverse latency for %d groups", len(w))}
	if len(w) == 0 {
		l.Decision.Reason = "hold: shares by inverse latency within the dead band"
	}
}

// shares updates the averages of a group and returns the L3 weights before rounding; false: nothing finished yet.
func (l *L3) shares(g vts.GroupSample, interval time.Duration) ([]float64, bool) {
	keep := math.Exp2(-interval.Seconds() / l.cfg.HalfLife.Seconds())
	x := make([]float64, len(g.Peers))
	best := 0.0
	for i, p := range g.Peers {
		key := peerKey{g.Name, p.Server}
		a := l.peers[key]
		if a == nil {
			a = &l3Peer{}
			l.peers[key] = a
		}
		a.requests = keep*a.requests + float64(p.Requests)
		a.responseSec = keep*a.responseSec + float64(p.ResponseMsec)/1e3
		a.errors = keep*a.errors + float64(p.Responses.Errors())
		if a.requests < 1 {
			continue
		}
		x[i] = l3Weight(a.responseSec/a.requests, 1-a.errors/a.requests, l.cfg.ErrorPenalty.Seconds())
		best = math.Max(best, x[i])
	}
	for i := range x {
		if x[i] == 0 { // nothing known: as good as the best, so that it gets a try
			x[i] = best
		}
	}
	return x, best > 0
}

// l3Weight is the formula for a mean response time in s, a success ratio and an error penalty in s.
func l3Weight(responseSec, success, penaltySec float64) float64 {
	response := math.Max(responseSec, 0.5e-3) // times are whole milliseconds: below one they count 0
	latency := response + penaltySec*(1/math.Max(success, 1e-3)-1)
	return math.Max(1, 100/((response+1)*(response+1)*latency))
}

// withinBand reports whether every share of a differs from that of b by at most band, relatively.
func withinBand(a, b weights.Group, band float64) bool {
	if len(a) != len(b) {
		return false
	}
	sharesA, sharesB := a.Shares(), b.Shares()
	for server, s := range a {
		if t, ok := b[server]; !ok || s.Down != t.Down {
			return false
		}
		if math.Abs(sharesA[server]-sharesB[server]) > band*sharesB[server] {
			return false
		}
	}
	return true
}
