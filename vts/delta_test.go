package vts

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// at gives a status the local time and the server's time, both in ms after some start.
func at(st *Status, local, server int64) *Status {
	began := time.Unix(1700000000, 0)
	st.At, st.NowMsec, st.Took = began.Add(time.Duration(local)*time.Millisecond), 1700000000000+server,
		time.Millisecond
	return st
}

func TestDeltaRules(t *testing.T) {
	hour := int64(time.Hour / time.Millisecond)
	for _, c := range []struct {
		sentence string
		change   func(prev, cur *Status)
		reason   Reason
		check    func(Sample) bool
	}{
		{"plain traffic", func(prev, cur *Status) {}, "", func(s Sample) bool {
			p := s.Groups[0].Peers[0]
			return s.Interval == time.Second && p.Requests == 10 && p.Responses == Responses{0, 9, 0, 0, 1} &&
				p.InBytes == 100 && p.OutBytes == 200 &&
				p.RatePerSec(s.Interval) == 10 && p.MeanResponse() == 4*time.Millisecond &&
				p.InFlight(s.Interval) == 0.04 &&
				p.Buckets[0] == 1 && p.Buckets[2] == 9 && s.Connections.Requests == 1 && s.Connections.Active == 1
		}},
		{"a server without requests is unknown, not good", func(prev, cur *Status) {}, "", func(s Sample) bool {
			return s.Groups[0].Peers[0].Known && !s.Groups[0].Peers[1].Known && s.Groups[0].Peers[1].Down &&
				s.Groups[0].Peers[1].Backup
		}},
		{"a new configuration changes the generation", func(prev, cur *Status) {
			cur.LoadMsec += 500
			cur.Upstreams[0].Peers[0].Weight = 9
		}, "", func(s Sample) bool {
			return s.Reloaded && s.Groups[0].Peers[0].Weight == 9 && s.Groups[0].Peers[0].Requests == 10
		}},
		{"one counter that fell", func(prev, cur *Status) { cur.Upstreams[0].Peers[0].OutBytes = 1 }, ReasonEpoch, nil},
		{"one response class that fell", func(prev, cur *Status) { prev.Upstreams[0].Peers[1].Responses[3] = 5 },
			ReasonEpoch, nil},
		{"one bucket that fell", func(prev, cur *Status) { cur.Upstreams[0].Peers[0].Buckets[1] = 2 }, ReasonEpoch,
			nil},
		{"connections that fell", func(prev, cur *Status) { cur.Connections.Accepted = 0 }, ReasonEpoch, nil},
		{"a zone of another size", func(prev, cur *Status) { cur.Zone.MaxBytes *= 2 }, ReasonEpoch, nil},
		{"an answer of the configuration before", func(prev, cur *Status) { cur.LoadMsec -= 500 }, ReasonGeneration,
			nil},
		{"the same instant", func(prev, cur *Status) { at(cur, 2, 1000) }, ReasonClock, nil},
		{"the server's clock an hour ahead", func(prev, cur *Status) { at(cur, 2000, 2000+hour) }, ReasonClock, nil},
		{"the server's clock an hour back", func(prev, cur *Status) { at(cur, 2000, 2000-hour) }, ReasonClock, nil},
		{"the local clock an hour ahead", func(prev, cur *Status) { at(cur, 2000+hour, 2000) }, ReasonClock, nil},
		{"a slow answer explains a difference of the clocks", func(prev, cur *Status) {
			at(cur, 5000, 2000)
			cur.Took = 3 * time.Second
		}, "", func(s Sample) bool { return s.Interval == time.Second }},
		{"statuses without local times are not checked against them", func(prev, cur *Status) {
			at(cur, 0, 2000+hour)
			cur.At, prev.At = time.Time{}, time.Time{}
		}, "", func(s Sample) bool { return s.Interval > time.Hour }},
		{"2^64-1 requests", func(prev, cur *Status) { cur.Upstreams[0].Peers[0].Requests = math.MaxUint64 },
			ReasonAbsurd, nil},
		{"2^64-1 ms", func(prev, cur *Status) { cur.Upstreams[0].Peers[0].ResponseMsec = math.MaxUint64 }, ReasonAbsurd,
			nil},
		{"2^64-1 bytes", func(prev, cur *Status) { cur.Upstreams[0].Peers[0].InBytes = math.MaxUint64 }, ReasonAbsurd,
			nil},
		{"more responses than requests", func(prev, cur *Status) { cur.Upstreams[0].Peers[0].Responses[2] = 5000 },
			ReasonAbsurd, nil},
		{"a new server has no base yet", func(prev, cur *Status) { cur.Upstreams[0].Peers[0].Server = "127.0.0.1:9" },
			"", func(s Sample) bool {
				p := s.Groups[0].Peers[0]
				return p.Server == "127.0.0.1:9" && !p.Known && p.Requests == 0 && p.Buckets == nil
			}},
		{"a server that moved within the list keeps its counters", func(prev, cur *Status) {
			p := cur.Upstreams[0].Peers
			p[0], p[1] = p[1], p[0]
		}, "", func(s Sample) bool { return s.Groups[0].Peers[1].Requests == 10 }},
		{"a server that went is gone", func(prev, cur *Status) { cur.Upstreams[0].Peers = cur.Upstreams[0].Peers[:1] },
			"", func(s Sample) bool { return len(s.Groups[0].Peers) == 1 }},
		{"a new group", func(prev, cur *Status) {
			cur.Upstreams = append(cur.Upstreams,
				Upstream{Name: "new", Peers: []Peer{{Server: "a", Weight: 1, Requests: 7}}})
		}, "", func(s Sample) bool { return len(s.Groups) == 2 && !s.Groups[1].Peers[0].Known }},
		{"the group itself is no server, its requests found none", func(prev, cur *Status) {
			cur.Upstreams[0].Peers = append(cur.Upstreams[0].Peers, Peer{Server: "app", Requests: 3})
		}, "", func(s Sample) bool { return len(s.Groups[0].Peers) == 2 && s.Groups[0].NoLive == 3 }},
		{"addresses outside any group are left out", func(prev, cur *Status) {
			cur.Upstreams = append([]Upstream{{Name: "::nogroups", Peers: []Peer{{Server: "x", Requests: 1}}}},
				cur.Upstreams...)
		}, "", func(s Sample) bool { return len(s.Groups) == 1 && s.Groups[0].Name == "app" }},
		{"the first histogram of a server that had no requests", func(prev, cur *Status) {
			prev.Upstreams[0].Peers[0] = Peer{Server: "127.0.0.1:1", Weight: 3}
		}, "", func(s Sample) bool { return s.Groups[0].Peers[0].Buckets[0] == 2 }},
		{"a histogram that was just switched on counts from nowhere", func(prev, cur *Status) {
			prev.Upstreams[0].Peers[0].BucketsMsec, prev.Upstreams[0].Peers[0].Buckets = nil, nil
		}, "", func(s Sample) bool {
			return s.Groups[0].Peers[0].Buckets == nil && s.Groups[0].Peers[0].Requests == 10
		}},
		{"a histogram with other bounds", func(prev, cur *Status) {
			prev.Upstreams[0].Peers[0].BucketsMsec = []float64{1, 3, 10}
		}, "", func(s Sample) bool { return s.Groups[0].Peers[0].Buckets == nil }},
		{"a bucket one request ahead of the total is held back", func(prev, cur *Status) {
			cur.Upstreams[0].Peers[0].Buckets[2] = 9 + 11
		}, "", func(s Sample) bool {
			return s.Groups[0].Peers[0].Buckets[2] == 10
		}},
	} {
		prev, cur := at(testStatus(1), 1000, 1000), at(testStatus(2), 2000, 2000)
		c.change(prev, cur)
		got, err := Delta(prev, cur)
		if ReasonOf(err) != c.reason {
			t.Errorf("%s: got %v (%s), want reason %q", c.sentence, err, ReasonOf(err), c.reason)
		} else if err == nil && !c.check(got) {
			t.Errorf("%s: got %+v", c.sentence, got)
		}
	}
}

func TestSeriesStartsAnewAfterARestart(t *testing.T) {
	var s Series
	step := func(sentence string, st *Status, want Reason) {
		t.Helper()
		if _, err := s.Next(st); ReasonOf(err) != want {
			t.Errorf("%s: got %v, want reason %q", sentence, err, want)
		}
	}
	step("the first", at(testStatus(5), 0, 0), ReasonFirst)
	step("traffic", at(testStatus(6), 1000, 1000), "")
	step("restarted", at(testStatus(0), 2000, 2000), ReasonEpoch)
	step("traffic after the restart", at(testStatus(1), 3000, 3000), "")
	huge := at(testStatus(2), 4000, 4000)
	huge.Upstreams[0].Peers[0].Requests = math.MaxUint64
	step("an absurd status is left out", huge, ReasonAbsurd)
	step("and the next is compared with the one before it", at(testStatus(3), 5000, 5000), "")
	for i := range int64(patience) {
		old := at(testStatus(3), 6000+1000*i, 6000+1000*i)
		old.LoadMsec--
		step("an older configuration", old, ReasonGeneration)
	}
	newer := at(testStatus(4), 12000, 12000)
	newer.LoadMsec--
	step("an older configuration that stays is taken for real", newer, "")
}

// TestSamplesAreNeverAbsurd: whatever two statuses say, a sample has no negative or absurd rate, its histogram rises to
// at most the total, and only servers with requests are known.
func TestSamplesAreNeverAbsurd(t *testing.T) {
	counter := rapid.OneOf(rapid.Uint64Range(0, 1000), rapid.Uint64(), rapid.Just(uint64(math.MaxUint64)))
	peer := rapid.Custom(func(t *rapid.T) Peer {
		p := Peer{
			Server:   rapid.SampledFrom([]string{"a:1", "b:1", "g", "h"}).Draw(t, "server"),
			Weight:   rapid.IntRange(0, 3).Draw(t, "weight"),
			Requests: counter.Draw(t, "requests"), InBytes: counter.Draw(t, "in"), OutBytes: counter.Draw(t, "out"),
			RequestMsec: counter.Draw(t, "request_ms"), ResponseMsec: counter.Draw(t, "response_ms"),
		}
		for i := range p.Responses {
			p.Responses[i] = counter.Draw(t, "class")
		}
		for b := range rapid.IntRange(0, 3).Draw(t, "bounds") {
			p.BucketsMsec = append(p.BucketsMsec, float64(b+1))
			p.Buckets = append(p.Buckets, counter.Draw(t, "bucket"))
		}
		return p
	})
	status := rapid.Custom(func(t *rapid.T) *Status {
		st := &Status{NowMsec: rapid.OneOf(rapid.Int64Range(1, 5000), rapid.Int64Range(1, math.MaxInt64)).Draw(t,
			"now")}
		st.LoadMsec = rapid.Int64Range(0, 3).Draw(t, "load")
		for _, name := range []string{"g", "h"} {
			if rapid.Bool().Draw(t, name) {
				st.Upstreams = append(st.Upstreams, Upstream{Name: name, Peers: rapid.SliceOfN(peer, 0, 3).Draw(t,
					"peers")})
			}
		}
		return st
	})
	rapid.Check(t, func(t *rapid.T) {
		s, err := Delta(status.Draw(t, "prev"), status.Draw(t, "cur"))
		if err != nil {
			if ReasonOf(err) == ReasonOther {
				t.Fatalf("%v has no reason", err)
			}
			return
		}
		if s.Interval <= 0 {
			t.Fatalf("got interval %v", s.Interval)
		}
		for _, g := range s.Groups {
			for _, p := range g.Peers {
				rate := p.RatePerSec(s.Interval)
				if rate < 0 || rate > absurdRequestsPerSec+2/s.Interval.Seconds() || math.IsNaN(rate) ||
					p.MeanResponse() < 0 || p.InFlight(s.Interval) < 0 {
					t.Fatalf("got rate %v, mean %v, in flight %v of %+v", rate, p.MeanResponse(),
						p.InFlight(s.Interval), p)
				}
				if p.Known != (p.Requests > 0) {
					t.Fatalf("got known %v with %d requests", p.Known, p.Requests)
				}
				var low uint64
				for _, n := range p.Buckets {
					if n < low || n > p.Requests {
						t.Fatalf("got histogram %v of %d requests", p.Buckets, p.Requests)
					}
					low = n
				}
			}
		}
	})
}

func TestReasonsAreInTheWords(t *testing.T) {
	prev, cur := at(testStatus(1), 0, 0), at(testStatus(2), 1000, 1000)
	cur.Upstreams[0].Peers[0].OutBytes = 1
	_, err := Delta(prev, cur)
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1 of app") {
		t.Errorf("got %v, want the server and its group named", err)
	}
}

func TestWebSocketsAreNoMeasure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		ever, upgraded uint64
		left           bool
	}{
		{"no request yet", 0, 0, false},
		{"plain requests", 100000, 0, false},
		{"one stray upgrade among many requests", 100000, 1, false},
		{"one in a thousand", 100000, 100, true},
		{"nothing but WebSockets", 3, 3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			prev := &Status{NowMsec: 1000,
				Upstreams: []Upstream{{Name: "web", Peers: []Peer{{Server: "a:1", Weight: 1}}}}}
			cur := &Status{NowMsec: 2000, Upstreams: []Upstream{{Name: "web", Peers: []Peer{
				{Server: "a:1", Weight: 1, Requests: c.ever, Responses: Responses{c.upgraded, c.ever - c.upgraded}},
			}}}}
			s, err := Delta(prev, cur)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Groups[0].LongLived(); (got != "") != c.left || c.left && !strings.Contains(got, "WebSockets") {
				t.Errorf("got %q, want a reason: %t", got, c.left)
			}
		})
	}
}
