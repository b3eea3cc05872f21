package vts

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// recorded returns the replies of a real module 0.2.7 in order of recording.
func recorded(t testing.TB) (bodies [][]byte, names []string) {
	t.Helper()
	names, err := filepath.Glob("../../shared/data/vts-0.2.7/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Skip("the recorded replies are not on this machine")
	}
	for i, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
		names[i] = filepath.Base(name)
	}
	return bodies, names
}

// requestsOf lists the requests of a sample by group, in the order of the peers.
func requestsOf(s Sample) map[string][]uint64 {
	got := map[string][]uint64{}
	for _, g := range s.Groups {
		for _, p := range g.Peers {
			got[g.Name] = append(got[g.Name], p.Requests)
		}
	}
	return got
}

func TestRecordedRepliesGiveTheRightDeltas(t *testing.T) {
	bodies, names := recorded(t)
	steps := []struct {
		sentence string
		reason   Reason
		requests map[string][]uint64
		reloaded bool
		interval time.Duration
		noLive   uint64 // of compose_backend
		errors   uint64 // 5xx of 127.0.0.1:9001 in compose_backend
		weights  []int  // of compose_backend
	}{
		{sentence: "the first reply has nothing to be compared with", reason: ReasonFirst},
		{
			sentence: "equal weights: the first histogram counts from zero", interval: 2344 * time.Millisecond,
			requests: map[string][]uint64{"compose_backend": {140, 139, 139}, "home_read_backend": {191, 190, 190},
				"user_read_backend": {94, 82, 0, 0}},
			weights: []int{1, 1, 1},
		},
		{
			sentence: "only compose has traffic", interval: 1227 * time.Millisecond,
			requests: map[string][]uint64{"compose_backend": {66, 67, 65}, "home_read_backend": {0, 0, 0},
				"user_read_backend": {0, 0, 0, 0}},
			weights: []int{1, 1, 1},
		},
		{
			sentence: "a reload changes generation and weights and keeps the counters", interval: 413 *
				time.Millisecond, reloaded: true,
			requests: map[string][]uint64{"compose_backend": {0, 0, 0}, "home_read_backend": {0, 0, 0},
				"user_read_backend": {0, 0, 0, 0}},
			weights: []int{2, 4, 9},
		},
		{
			sentence: "traffic follows the new weights", interval: 2355 * time.Millisecond,
			requests: map[string][]uint64{"compose_backend": {53, 106, 240}, "home_read_backend": {67, 198, 330},
				"user_read_backend": {0, 0, 0, 0}},
			weights: []int{2, 4, 9},
		},
		{
			sentence: "backends stopped: the group itself is no server, but its refusals are counted", interval: 1527 *
				time.Millisecond,
			requests: map[string][]uint64{"compose_backend": {1, 1, 1}, "home_read_backend": {0, 0, 0},
				"user_read_backend": {0, 0, 0, 0}},
			weights: []int{2, 4, 9}, noLive: 56, errors: 1,
		},
		{sentence: "a restart zeroes the counters", reason: ReasonEpoch},
	}
	if len(bodies) != len(steps) {
		t.Fatalf("got %d recorded replies, want %d", len(bodies), len(steps))
	}
	var series Series
	for i, want := range steps {
		t.Run(names[i], func(t *testing.T) {
			st := new(Status)
			if err := Decode(bodies[i], time.Time{}, st); err != nil {
				t.Fatal(err)
			}
			got, err := series.Next(st)
			if ReasonOf(err) != want.reason {
				t.Fatalf("%s: got %v, want reason %q", want.sentence, err, want.reason)
			}
			if err != nil {
				return
			}
			if got.Interval != want.interval || got.Reloaded != want.reloaded || got.Generation != st.LoadMsec {
				t.Errorf("%s: got interval %v, reloaded %v, generation %d; want %v, %v, %d", want.sentence,
					got.Interval, got.Reloaded, got.Generation, want.interval, want.reloaded, st.LoadMsec)
			}
			requests := requestsOf(got)
			for group, w := range want.requests {
				if g := requests[group]; !slices.Equal(g, w) {
					t.Errorf("%s: %s: got %v requests, want %v", want.sentence, group, g, w)
				}
			}
			compose := got.Groups[0]
			if compose.NoLive != want.noLive || compose.Peers[0].Responses.Errors() != want.errors {
				t.Errorf("%s: got %d without a live server and %d errors, want %d and %d", want.sentence,
					compose.NoLive, compose.Peers[0].Responses.Errors(), want.noLive, want.errors)
			}
			for j, p := range compose.Peers {
				if p.Weight != want.weights[j] {
					t.Errorf("%s: %s: got weight %d, want %d", want.sentence, p.Server, p.Weight, want.weights[j])
				}
				if p.Known != (p.Requests > 0) {
					t.Errorf("%s: %s: got known %v with %d requests", want.sentence, p.Server, p.Known, p.Requests)
				}
				if p.Known && p.Buckets[len(p.Buckets)-1] != p.Requests {
					t.Errorf("%s: %s: got %v in the buckets, want %d at the last", want.sentence, p.Server, p.Buckets,
						p.Requests)
				}
			}
			user := got.Groups[2]
			if !user.Peers[2].Down || !user.Peers[3].Backup {
				t.Errorf("%s: got down %v and backup %v, want both", want.sentence, user.Peers[2].Down,
					user.Peers[3].Backup)
			}
		})
	}
}
