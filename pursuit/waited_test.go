package pursuit

import (
	"testing"
	"time"

	"trimtab/objective"
	"trimtab/vts"
)

func TestWhoGaveUpHasWaited(t *testing.T) {
	s := vts.Sample{Groups: []vts.GroupSample{
		{Name: "quick", Peers: []vts.PeerSample{{Server: "a", Requests: 10, ResponseMsec: 500, RequestMsec: 520, Buckets: []uint64{10}}}},
		{Name: "left", Peers: []vts.PeerSample{
			{Server: "a", Requests: 10, ResponseMsec: 1000, RequestMsec: 25_000, Responses: vts.Responses{0, 2, 0, 8}, Buckets: []uint64{10}, BucketsMsec: []float64{1}},
			{Server: "b", Requests: 10, ResponseMsec: 900, RequestMsec: 1000, Responses: vts.Responses{0, 9, 0, 1}, Buckets: []uint64{10}, BucketsMsec: []float64{1}}}},
	}}
	got := waited(s)
	for _, c := range []struct {
		name       string
		peer, from vts.PeerSample
		ms         uint64
		histogram  bool
	}{
		{"where nobody gave up it is as it was", got.Groups[0].Peers[0], s.Groups[0].Peers[0], 500, true},
		{"where most gave up it is how long they waited", got.Groups[1].Peers[0], s.Groups[1].Peers[0], 25_000, false},
		{"an answer of 4xx is no giving up", got.Groups[1].Peers[1], s.Groups[1].Peers[1], 900, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.peer.ResponseMsec != c.ms || (c.peer.Buckets != nil) != c.histogram {
				t.Errorf("got %d ms and %d buckets", c.peer.ResponseMsec, len(c.peer.Buckets))
			}
		})
	}
	if s.Groups[1].Peers[0].ResponseMsec != 1000 || s.Groups[1].Peers[0].Buckets == nil {
		t.Error("the sample itself was changed")
	}
}

func TestWeightsOfTheSameSharesAreNoChange(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []int
		want bool
	}{
		{"other digits", []int{1, 1}, []int{50, 50}, true},
		{"multiples", []int{1, 2, 4}, []int{10, 20, 40}, true},
		{"others", []int{1, 2, 4}, []int{10, 20, 41}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sameShares(c.a, c.b); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// A change that lets a few requests of others in is worth it beside a promise that is worth ten times as much.
func TestPromisesDoNotHideWhatOthersWouldGain(t *testing.T) {
	o, err := objective.New(objective.Spec{Kind: objective.KindGuarantee, Upstreams: map[string]objective.Terms{
		"one": {Bound: time.Second, Importance: 1, Promised: 20}, "two": {Bound: time.Second, Importance: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	p := &Policy{cfg: Config{Objective: o, MinGain: 0.01}}
	v := Value{Reward: 204, Mean: objective.Outcome{Services: []objective.Service{{Name: "one", CarriedPerSec: 20}, {Name: "two", CarriedPerSec: 4}}}}
	if got := p.worth(&v); got != 24 {
		t.Errorf("got %v, want the 24 requests", got)
	}
	if _, err := objective.New(objective.Spec{Kind: objective.KindThroughput, Upstreams: o.Terms()}); err == nil {
		t.Error("a promise without guarantee passed")
	}
	p.cfg.Objective = nowhere{}
	if got := p.worth(&v); got != 204 {
		t.Errorf("another objective: got %v, want its reward", got)
	}
}

// nowhere is an objective of which nothing is asked.
type nowhere struct{ objective.Objective }
