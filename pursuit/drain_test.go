package pursuit

import (
	"testing"
	"time"

	"trimtab/control"
	"trimtab/objective"
	"trimtab/tuner"
)

// Two servers of 4 and 2 slots at 20 ms; what waits is served before anybody else is let in.
func TestWhatWaitsIsServedFirst(t *testing.T) {
	o, err := objective.New(objective.Spec{Kind: objective.KindDifferentiation, Upstreams: map[string]objective.Terms{
		"a": {Bound: 40 * time.Millisecond, Importance: 5}, "b": {Bound: 40 * time.Millisecond, Importance: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	most := control.AdmissionLimits{Most: 0.9, Step: 0.05}
	for _, c := range []struct {
		name     string
		waiting  map[string]float64 // at the server, of upstream a
		limits   control.AdmissionLimits
		method   tuner.Method
		drains   bool
		refusedA [2]float64
		refusedB [2]float64
		shares   [2]float64 // of the second server, of upstream a
	}{
		{"nothing waits: the search decides", nil, most, tuner.RoundRobin, false, [2]float64{}, [2]float64{}, [2]float64{}},
		{"a moment's queue is no reason", map[string]float64{"two": 20}, most, tuner.RoundRobin, false, [2]float64{},
			[2]float64{}, [2]float64{}},
		{"a server that has all it can do is given a hundredth, and the less important are refused",
			map[string]float64{"two": 400}, most, tuner.RoundRobin, true, [2]float64{0, 0.1}, [2]float64{0.8, 0.9},
			[2]float64{0, 0.02}},
		{"both have all they can do: as many are refused as may be", map[string]float64{"one": 900, "two": 400}, most,
			tuner.RoundRobin, true, [2]float64{0.9, 0.9}, [2]float64{0.9, 0.9}, [2]float64{0, 1}},
		{"nobody may be refused", map[string]float64{"two": 400}, control.AdmissionLimits{}, tuner.RoundRobin, false,
			[2]float64{}, [2]float64{}, [2]float64{}},
		{"least_conn passes a queue over by itself", map[string]float64{"two": 400}, most, tuner.LeastConn, false,
			[2]float64{}, [2]float64{}, [2]float64{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := New(Config{Objective: o, Admission: map[string]control.AdmissionLimits{"a": c.limits, "b": c.limits},
				Tuner:  tuner.Config{Groups: map[string]tuner.GroupConfig{"a": {Method: c.method}, "b": {Method: c.method}}},
				Search: Options{Interval: 3 * time.Second}})
			if err != nil {
				t.Fatal(err)
			}
			w := World{Servers: []Server{{Name: "one", Slots: 4, ServiceSec: []float64{0.02, 0.02}},
				{Name: "two", Slots: 2, ServiceSec: []float64{0.02, 0.02}}}}
			for _, name := range []string{"a", "b"} {
				w.Services = append(w.Services, Service{Name: name, Method: c.method, OfferedPerSec: 175,
					Links: []Link{{Server: 0}, {Server: 1}}, Admission: c.limits})
			}
			for server, n := range c.waiting {
				p.quietOf(server, "a").held = n
			}
			got, ok := p.drain(&w, w.Start())
			if ok != c.drains {
				t.Fatalf("it drains: got %t, want %t", ok, c.drains)
			}
			if !ok {
				return
			}
			within := func(what string, v float64, want [2]float64) {
				if v < want[0]-1e-9 || v > want[1]+1e-9 {
					t.Errorf("%s: got %.3f, want %.2f to %.2f", what, v, want[0], want[1])
				}
			}
			within("refused of a", got.Blocked[0], c.refusedA)
			within("refused of b", got.Blocked[1], c.refusedB)
			within("share of the second server", w.share(&got, 0)[1], c.shares)
		})
	}
}

func TestRequestsThatWaitAreCounted(t *testing.T) {
	var q quiet
	for _, c := range []struct {
		name      string
		done      float64 // per s
		took      float64 // s
		sent      float64 // per s
		low, most float64
	}{
		{"nothing waits", 175, 0.03, 175, 0, 0},
		{"67 of 175 per second are served for 3 s", 67, 0.956, 175, 310, 335},
		{"nobody else is sent: it shrinks by what is served", 67, 2.8, 2, 115, 140},
		{"it is gone", 67, 2.7, 2, 0, 0},
		{"it was not: answers take longer than before", 67, 3.2, 20, 60, 70},
		{"now it is", 67, 3, 20, 0, 0},
		{"answers are fast again", 20, 0.03, 20, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			q.observe(seenClass{perSec: c.done, responseSec: c.took, count: 3 * c.done}, 3)
			q.queue(c.sent, 3)
			if q.held < c.low || q.held > c.most {
				t.Errorf("got %.0f requests, want %.0f to %.0f", q.held, c.low, c.most)
			}
		})
	}
}

// Who leaves a queue as it ends has waited as long as those before: it is no longer there when fewer were served.
func TestAQueueThatEndedIsNotCounted(t *testing.T) {
	var q quiet
	for _, v := range []struct{ done, took, sent float64 }{{175, 0.03, 175}, {134, 0.345, 175}, {107, 0.371, 69}} {
		q.observe(seenClass{perSec: v.done, responseSec: v.took, count: 3 * v.done}, 3)
		q.queue(v.sent, 3)
	}
	if q.held != 0 {
		t.Errorf("got %.0f requests, want none", q.held)
	}
}
