package daemon

import (
	"encoding/json"
	"fmt"
	"sync"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// witness keeps what a policy has seen of late, so that an internal fault can be played again. It has two spans, each
// with what was known at its beginning: when the second one is full the first goes, and what is left always covers one.
type witness struct {
	contain func(f func()) // keeps a panic of a snapshot from spreading; nil: nothing does

	mu     sync.Mutex
	of     control.Policy
	spans  []span // one or two
	missed int    // intervals that could not be kept
}

// span is what a policy saw from a time on.
type span struct {
	known json.RawMessage // the policy's snapshot when it began; nil: it knew nothing
	seen  []json.RawMessage
	bytes int
}

// Bounds of a span.
const (
	spanIntervals = 300
	spanBytes     = 4 << 20
)

// sight is one interval as a policy saw it, or what it was told was applied.
type sight struct {
	Sample    *vts.Sample      `json:"sample,omitempty"`
	Committed *control.Receipt `json:"committed,omitempty"`
}

// watch makes the policy the one that is witnessed.
func (w *witness) watch(p control.Policy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == p {
		return
	}
	w.of, w.spans, w.missed = p, nil, 0
	w.begin()
}

// begin begins a span; w.mu is held.
func (w *witness) begin() {
	var known json.RawMessage
	take := func() { known, _ = snapshotOf(w.of) } // without it, it knew nothing
	if w.contain == nil {
		take()
	} else {
		w.contain(take)
	}
	w.spans = append(w.spans, span{known: known})
	if len(w.spans) > 2 {
		w.spans = w.spans[1:]
	}
}

func (w *witness) keep(s sight) {
	if s.Sample != nil {
		s.Sample = labelledSample(s.Sample, label)
	}
	if s.Committed != nil {
		r := *s.Committed
		r.Want = relabel(r.Want, label)
		s.Committed = &r
	}
	text, err := json.Marshal(s)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || len(w.spans) == 0 {
		w.missed++
		return
	}
	now := &w.spans[len(w.spans)-1]
	now.seen, now.bytes = append(now.seen, text), now.bytes+len(text)
}

// turn begins another span when the last one is full. It is called between two intervals: a snapshot tells how things
// stand then.
func (w *witness) turn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.spans); n > 0 && (len(w.spans[n-1].seen) >= spanIntervals || w.spans[n-1].bytes >= spanBytes) {
		w.begin()
	}
}

// story is what was seen, oldest first, and what was known before.
func (w *witness) story() (known json.RawMessage, seen []json.RawMessage, missed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.spans {
		if i == 0 {
			known = s.known
		}
		seen = append(seen, s.seen...)
	}
	return known, seen, w.missed
}

// labelledSample is a sample with every name changed.
func labelledSample(s *vts.Sample, change func(string) string) *vts.Sample {
	out := *s
	out.Groups = make([]vts.GroupSample, len(s.Groups))
	for i, g := range s.Groups {
		g.Name = change(g.Name)
		peers := make([]vts.PeerSample, len(g.Peers))
		for j, p := range g.Peers {
			p.Server = change(p.Server)
			peers[j] = p
		}
		g.Peers = peers
		out.Groups[i] = g
	}
	return &out
}

// witnessed is a policy whose every sight is kept, and whose decisions are looked at before they are carried out.
type witnessed struct {
	control.Policy
	by *witness
}

func (p witnessed) Observe(s vts.Sample, inForce weights.Set) {
	p.by.turn()
	p.by.keep(sight{Sample: &s})
	p.Policy.Observe(s, inForce)
}

// Choose panics, which is an internal fault that keeps the weights, when a decision is made from numbers that are none.
func (p witnessed) Choose() control.Decision {
	d := p.Policy.Choose()
	if len(d.Weights) == 0 {
		return d
	}
	if _, err := explanationOf(p.Policy); err != nil {
		panic(fmt.Sprintf("a decision is explained by numbers that are none: %v", err))
	}
	return d
}

func (p witnessed) Committed(r control.Receipt) {
	p.by.keep(sight{Committed: &r})
	p.Policy.Committed(r)
}
