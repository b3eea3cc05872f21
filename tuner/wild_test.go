package tuner_test

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"
	"trimtab/words"
)

// wild is a proxy that any sample may come from: its groups share servers or not, and its page has any histogram.
type wild struct {
	groups []vts.GroupSample
	at     time.Time
}

// odd are numbers that a page may show, such as counters of a server that a person wrote.
func odd(most uint64) *rapid.Generator[uint64] {
	return rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, 1000), rapid.Uint64Range(0, most), rapid.Just(most))
}

var oddBounds = rapid.OneOf(
	rapid.Just([]float64(nil)), rapid.Just([]float64{5}), rapid.Just([]float64{1e308}), rapid.Just([]float64{5e-324,
		1e-300}),
	rapid.Just([]float64{1, 2, 5, 10, 1e308, math.MaxFloat64}), rapid.Just([]float64{1, 5, 10, 20, 50, 100, 200,
		500, 1000, 5000}),
	rapid.Just([]float64{-5, 0, 10, 3, 10}), rapid.Just([]float64{0}), rapid.Just([]float64{math.Inf(1)}),
	rapid.SliceOfN(rapid.Float64Range(-1e3, 1e308), 1, 20),
)

func newWild(t *rapid.T) *wild {
	w := &wild{at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	pool := rapid.OneOf(rapid.IntRange(1, 6), rapid.IntRange(2, 200)).Draw(t, "servers")
	for g := range rapid.IntRange(1, 3).Draw(t, "groups") {
		group := vts.GroupSample{Name: fmt.Sprint("g", g)}
		own := rapid.Bool().Draw(t, "servers of its own")
		bounds := oddBounds.Draw(t, "bounds")
		for i := range rapid.IntRange(min(2, pool), pool).Draw(t, "peers") {
			name := fmt.Sprintf("10.0.0.%d:80", i)
			if own {
				name = fmt.Sprintf("10.1.%d.%d:80", g, i)
			}
			group.Peers = append(group.Peers, vts.PeerSample{Server: name, Weight: 1, BucketsMsec: bounds})
		}
		w.groups = append(w.groups, group)
	}
	return w
}

// sample draws one interval. Peers of a kind do alike, so that large pools are not slow to draw.
func (w *wild) sample(t *rapid.T, current weights.Set) vts.Sample {
	interval := rapid.OneOf(rapid.Just(3*time.Second), rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Hour)).Draw(t, "ns"))
	})).Draw(t, "interval")
	w.at = w.at.Add(interval)
	s := vts.Sample{At: w.at, Interval: interval, Reloaded: rapid.Bool().Draw(t, "reloaded")}
	for _, g := range w.groups {
		kinds := rapid.SliceOfN(rapid.Custom(drawPeer), 1, 3).Draw(t, "kinds")
		out := vts.GroupSample{Name: g.Name}
		for i, p := range g.Peers {
			kind := kinds[i*len(kinds)/len(g.Peers)]
			kind.Server, kind.BucketsMsec = p.Server, p.BucketsMsec
			kind.Buckets = make([]uint64, len(p.BucketsMsec))
			for b := range kind.Buckets {
				kind.Buckets[b] = kind.Requests / uint64(len(kind.Buckets)) * uint64(b+1)
			}
			if own, ok := current[g.Name][p.Server]; ok {
				kind.Weight, kind.Down = own.Weight.Int(), own.Down
			}
			out.Peers = append(out.Peers, kind)
		}
		s.Groups = append(s.Groups, out)
	}
	return s
}

func drawPeer(t *rapid.T) vts.PeerSample {
	p := vts.PeerSample{Weight: rapid.OneOf(rapid.Just(1), rapid.IntRange(-5, 1<<20)).Draw(t, "weight"),
		Down: rapid.IntRange(0, 9).Draw(t, "down") == 0}
	p.Requests = odd(math.MaxUint64/1024).Draw(t, "requests")
	p.ResponseMsec, p.RequestMsec = odd(math.MaxUint64/1024).Draw(t,
		"response ms"), odd(math.MaxUint64/1024).Draw(t, "request ms")
	if rapid.Bool().Draw(t, "usual times") {
		p.ResponseMsec = p.Requests / 64 * rapid.Uint64Range(0, 64*1000).Draw(t, "64ths of ms")
		p.RequestMsec = p.ResponseMsec
	}
	p.Responses[rapid.SampledFrom([]int{0, 1, 1, 1, 2, 3, 4}).Draw(t, "status")] = p.Requests
	p.Known = p.Requests > 0
	return p
}

// wildProperty: whatever a page says, nothing panics, every number is one, and asking changes nothing.
func wildProperty(t *rapid.T) {
	w := newWild(t)
	cfg := tuner.Config{Eject: rapid.Bool().Draw(t, "eject"), Regimes: load.RegimeConfig{Observe: -1},
		Groups: map[string]tuner.GroupConfig{},
		Method: rapid.SampledFrom([]tuner.Method{tuner.RoundRobin, tuner.LeastConn, tuner.LeastTime}).Draw(t,
			"method"),
		Unlimited: rapid.Bool().Draw(t, "unlimited")}
	if rapid.Bool().Draw(t, "deadline is given") {
		cfg.Groups["g0"] = tuner.GroupConfig{Deadline: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t,
			"deadline"))}
	}
	p, err := tuner.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	current, left := weights.Set{}, 0
	for range rapid.IntRange(1, 12).Draw(t, "intervals") {
		s := w.sample(t, current)
		p.Observe(s, control.InForce(s))
		d, again := p.Choose(), p.Choose()
		if !reflect.DeepEqual(d, again) {
			t.Fatalf("asked twice: got %v and then %v", d, again)
		}
		e := p.Explain()
		if e.Budget < left {
			t.Fatalf("%d changes left after an interval without a change, want at least the %d of before", e.Budget,
				left)
		}
		left = e.Budget
		if _, err := json.Marshal(e); err != nil {
			t.Fatalf("explanation: %v: %+v", err, e)
		}
		if words.Text(&e, words.Budget{}) == "" || d.Reason == "" {
			t.Fatalf("got no reason: %+v", e)
		}
		checkDecision(t, s, d)
		if len(d.Weights) > 0 && rapid.Bool().Draw(t, "applied") {
			for name, g := range d.Weights {
				current[name] = g
			}
			p.Committed(control.Receipt{Want: d.Weights, Changed: true})
			left--
		}
	}
	checkSnapshot(t, p, cfg, w.sample(t, current))
}

// checkDecision wants a setting for every server of the groups that would change, and for no other.
func checkDecision(t *rapid.T, s vts.Sample, d control.Decision) {
	inForce := control.InForce(s)
	for name, g := range d.Weights {
		if !g.SameServers(inForce[name]) {
			t.Fatalf("group %s: settings %v for servers %v", name, g, inForce[name])
		}
		if g.Equal(inForce[name]) {
			t.Fatalf("group %s: %v is in force", name, g)
		}
	}
}

// checkSnapshot wants what was learned to be JSON that another tuner can go on from.
func checkSnapshot(t *rapid.T, p *tuner.Tuner, cfg tuner.Config, s vts.Sample) {
	snapshot, err := p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(snapshot)
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	var back tuner.Snapshot
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	next, err := tuner.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Restore(back); err != nil {
		t.Fatalf("what a tuner learned is refused: %v", err)
	}
	next.Observe(s, control.InForce(s))
	if _, err := json.Marshal(next.Explain()); err != nil {
		t.Fatalf("explanation after it was restored: %v: %+v", err, next.Explain())
	}
}

func TestWildSamples(t *testing.T) { rapid.Check(t, wildProperty) }

// FuzzSamples goes from sample to Observe, Choose, Explain and JSON.
func FuzzSamples(f *testing.F) { f.Fuzz(rapid.MakeFuzz(wildProperty)) }
