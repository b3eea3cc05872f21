package fleet

import (
	"fmt"
	"math"
	"time"
)

// Reason says why a sample is not believed.
type Reason string

// The reasons.
const (
	Replayed      Reason = "replayed"      // its number is not above the last one of the node
	FutureDated   Reason = "future-dated"  // of a time that has not come
	Outdated      Reason = "outdated"      // older than what is still of use
	Impossible    Reason = "impossible"    // no NGINX could have counted that
	Contradicting Reason = "contradicting" // what all others saw is otherwise
	SameName      Reason = "same name"     // two nodes report under one name
	Unreadable    Reason = "unreadable"
)

// AuditConfig says what is believed. The zero value of a field means its default.
type AuditConfig struct {
	Ahead time.Duration // how far a node's clock may be ahead of the centre's; default 10 s
	Age   time.Duration // how old a sample may be; default 60 s
	Rest  time.Duration // how long a node that contradicts all others is left out; default 60 s
	// MostPerSec is the largest rate of one server that is possible; default 1e6.
	MostPerSec float64
}

func (c AuditConfig) withDefaults() AuditConfig {
	if c.Ahead == 0 {
		c.Ahead = 10 * time.Second
	}
	if c.Age == 0 {
		c.Age = time.Minute
	}
	if c.Rest == 0 {
		c.Rest = time.Minute
	}
	if c.MostPerSec == 0 {
		c.MostPerSec = 1e6
	}
	return c
}

// Quarantine is a sample, or a node for a while, that is not believed.
type Quarantine struct {
	Node   string    `json:"node"`
	At     time.Time `json:"at"`
	Reason Reason    `json:"reason"`
	Detail string    `json:"detail"`
}

func (q *Quarantine) Error() string {
	return fmt.Sprintf("sample of %s: %s: %s", q.Node, q.Reason, q.Detail)
}

// record is what the auditor remembers of a node.
type record struct {
	boot     string
	seq      uint64
	atMS     int64
	beganMS  int64 // end of the first sample of the present boot
	heard    time.Time
	others   map[string]time.Time // boots that were heard before the present one, and when last
	rivals   time.Time            // when two boots were last heard side by side
	score    float64              // contradictions of late
	scored   time.Time
	resting  time.Time // left out until
	whyRests string
}

// Auditor judges samples by themselves and by what the same node said before. It keeps a record of every node that it
// was shown, at most MostNodes of them.
type Auditor struct {
	cfg   AuditConfig
	nodes map[string]*record
}

// MostNodes is how many nodes a centre knows at most.
const MostNodes = 10000

// overlap is by how much two intervals of a node may overlap: the end is read off another clock than the length.
const overlap = time.Second

// mostBoots is how many earlier processes of a node are remembered.
const mostBoots = 4

// NewAuditor returns an auditor that has seen nothing.
func NewAuditor(cfg AuditConfig) *Auditor {
	return &Auditor{cfg: cfg.withDefaults(), nodes: map[string]*record{}}
}

// Judge says why the sample is not believed; nil: it is, and later ones are measured against it.
func (a *Auditor) Judge(s *Sample, now time.Time) *Quarantine {
	fault := func(r Reason, format string, args ...any) *Quarantine {
		return &Quarantine{Node: s.Node, At: now, Reason: r, Detail: fmt.Sprintf(format, args...)}
	}
	r := a.nodes[s.Node]
	if r == nil {
		if len(a.nodes) >= MostNodes {
			return fault(Impossible, "%d nodes are known already", MostNodes)
		}
		r = &record{others: map[string]time.Time{}}
	}
	if ahead := s.At().Sub(now); ahead > a.cfg.Ahead {
		return fault(FutureDated, "its clock is %s ahead", ahead.Round(time.Second))
	}
	if age := now.Sub(s.At()); age > a.cfg.Age {
		return fault(Outdated, "it is %s old, or its clock behind", age.Round(time.Second))
	}
	if what := a.impossible(s); what != "" {
		return fault(Impossible, "%s", what)
	}
	if q := a.order(r, s, now, fault); q != nil {
		return q
	}
	a.nodes[s.Node] = r
	r.seq, r.atMS, r.heard = s.Seq, s.AtMS, now
	if now.Before(r.resting) {
		return fault(Contradicting, "%s; left out until %s", r.whyRests, r.resting.UTC().Format(time.TimeOnly))
	}
	return nil
}

// order checks that a sample comes after the last one of its node, and from the same process.
func (a *Auditor) order(r *record, s *Sample, now time.Time,
	fault func(Reason, string, ...any) *Quarantine) *Quarantine {
	switch {
	case r.seq == 0: // the first
		r.boot = s.Boot
	case s.Boot == "" && r.boot == "": // schema 1 numbers begin anew with the process; its clock does not
		if s.AtMS <= r.atMS {
			return fault(Replayed, "of %s, after one of %s", s.At().UTC().Format(time.TimeOnly),
				time.UnixMilli(r.atMS).UTC().Format(time.TimeOnly))
		}
	case s.Boot == r.boot:
		if s.Seq <= r.seq {
			return fault(Replayed, "number %d, after %d", s.Seq, r.seq)
		}
		if s.AtMS <= r.atMS {
			return fault(Impossible, "number %d ends before number %d", s.Seq, r.seq)
		}
		if over := time.Duration(s.Interval-(s.AtMS-r.atMS)) * time.Millisecond; over > overlap+s.Span()/4 {
			return fault(Impossible, "its interval lies for %s in the last one", over)
		}
	default:
		if _, before := r.others[s.Boot]; before {
			if s.AtMS <= r.beganMS {
				return fault(Replayed, "of the process before")
			}
			r.rivals = now // the earlier process is still there
		} else {
			if len(r.others) >= mostBoots {
				clear(r.others)
			}
			if now.Sub(r.rivals) > a.cfg.Rest || r.rivals.IsZero() { // it was started again
				r.others[r.boot] = r.heard
				r.boot, r.seq, r.atMS, r.beganMS = s.Boot, 0, 0, s.AtMS
			}
		}
	}
	if !r.rivals.IsZero() && now.Sub(r.rivals) <= a.cfg.Rest {
		return fault(SameName, "two processes report as %s: give each node a name of its own", s.Node)
	}
	return nil
}

// impossible says what no NGINX could have counted; empty: nothing.
func (a *Auditor) impossible(s *Sample) string {
	span := s.Span()
	if span <= 0 || span > MostInterval {
		return fmt.Sprintf("an interval of %s", span)
	}
	if s.Seq == 0 {
		return "no number"
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		for j := range g.Servers {
			if what := g.impossible(j, span, a.cfg.MostPerSec); what != "" {
				return fmt.Sprintf("group %s: server %s: %s", g.Name, g.Servers[j], what)
			}
		}
	}
	return ""
}

// mostInside is more requests than one NGINX holds at a server.
const mostInside = 1e6

func (g *Group) impossible(j int, span time.Duration, mostPerSec float64) string {
	n := g.Requests[j]
	sum := uint64(0)
	for _, c := range g.Responses[j] {
		if c > math.MaxUint32 {
			return fmt.Sprintf("%d answers of one class", c)
		}
		sum += c
	}
	switch {
	case g.Weights[j] < 0 || g.Weights[j] > math.MaxUint16:
		return fmt.Sprintf("weight %d", g.Weights[j])
	case float64(n) > mostPerSec*span.Seconds():
		return fmt.Sprintf("%d requests in %s", n, span)
	case sum != n:
		return fmt.Sprintf("%d answers to %d requests", sum, n)
	case n == 0 && (g.RequestMS[j] > 0 || g.ResponseMS[j] > 0):
		return "time spent on no request"
	case float64(g.ResponseMS[j]) > mostInside*span.Seconds()*1e3 ||
		float64(g.RequestMS[j]) > mostInside*span.Seconds()*1e3:
		return fmt.Sprintf("%d ms of answers in %s", max(g.ResponseMS[j], g.RequestMS[j]), span)
	}
	if len(g.Buckets) == 0 {
		return ""
	}
	before := uint64(0)
	for _, c := range g.Buckets[j] {
		if c < before || c > n {
			return "a histogram that is none"
		}
		before = c
	}
	return ""
}

// contradict notes that a node said what no other confirms, and has it rest when it does so again and again.
func (a *Auditor) contradict(node, what string, now time.Time) *Quarantine {
	r := a.nodes[node]
	if r == nil {
		return nil
	}
	r.score = r.score*math.Exp(-now.Sub(r.scored).Seconds()/a.cfg.Rest.Seconds()) + 1
	r.scored = now
	if r.score < contradictions || now.Before(r.resting) {
		return nil
	}
	r.resting, r.whyRests, r.score = now.Add(a.cfg.Rest), what, 0
	return &Quarantine{Node: node, At: now, Reason: Contradicting, Detail: what}
}

// contradictions of late from which on a node is left out: one is chance.
const contradictions = 3

// rests reports whether a node is left out now.
func (a *Auditor) rests(node string, now time.Time) bool {
	r := a.nodes[node]
	return r != nil && now.Before(r.resting)
}

// had reports whether the sample, or a later one of the same process, was judged already.
func (a *Auditor) had(s *Sample) bool {
	r := a.nodes[s.Node]
	return r != nil && s.Boot != "" && r.boot == s.Boot && s.Seq <= r.seq
}

// forget drops what is known of a node that has not been heard for long.
func (a *Auditor) forget(node string) { delete(a.nodes, node) }
