package fleet

import (
	"strings"
	"testing"
	"time"

	"trimtab/vts"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sampleOf is what a node saw of servers a and b, each with the requests given at 20 ms.
func sampleOf(node string, seq uint64, at time.Time, a, b uint64) Sample {
	peer := func(name string, n uint64) vts.PeerSample {
		return vts.PeerSample{Server: name, Weight: 1, Known: n > 0, Requests: n, Responses: vts.Responses{1: n},
			RequestMsec: 20 * n, ResponseMsec: 20 * n,
			BucketsMsec: []float64{10, 100}, Buckets: []uint64{0, n}}
	}
	return NewSample(node, "boot", seq, vts.Sample{At: at, Interval: 3 * time.Second,
		Groups: []vts.GroupSample{{Name: "u", Peers: []vts.PeerSample{peer("a", a), peer("b", b)}}}})
}

func TestAuditor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*Sample)
		want   Reason // empty: it is believed
	}{
		{"the next sample", func(*Sample) {}, ""},
		{"one that was there already", func(s *Sample) { s.Seq = 1 }, Replayed},
		{"one that is far too early", func(s *Sample) { s.AtMS += time.Hour.Milliseconds() }, FutureDated},
		{"one that is a little early", func(s *Sample) { s.AtMS += 5000 }, ""},
		{"one that is far too late", func(s *Sample) { s.AtMS -= time.Hour.Milliseconds() }, Outdated},
		{"a number that goes on while time goes back", func(s *Sample) { s.AtMS -= 4000 }, Impossible},
		{"an interval that lies in the last one", func(s *Sample) { s.Interval = 8000 }, Impossible},
		{"no interval", func(s *Sample) { s.Interval = 0 }, Impossible},
		{"more answers than requests", func(s *Sample) { s.Groups[0].Responses[0][1]++ }, Impossible},
		{"more requests than any server answers", func(s *Sample) {
			s.Groups[0].Requests[0], s.Groups[0].Responses[0][1] = 1e9, 1e9
		}, Impossible},
		{"time without requests", func(s *Sample) {
			s.Groups[0].Requests[0], s.Groups[0].Responses[0] = 0, vts.Responses{}
			s.Groups[0].Buckets = nil
		}, Impossible},
		{"a histogram that falls", func(s *Sample) { s.Groups[0].Buckets[0] = []uint64{5, 4} }, Impossible},
		{"more time than there is room for", func(s *Sample) { s.Groups[0].ResponseMS[0] = 1e13 }, Impossible},
		{"a weight that no NGINX has", func(s *Sample) { s.Groups[0].Weights[0] = -1 }, Impossible},
		{"a process that was started again", func(s *Sample) { s.Boot, s.Seq = "next", 1 }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := NewAuditor(AuditConfig{})
			first := sampleOf("n", 1, noon, 10, 10)
			if q := a.Judge(&first, noon); q != nil {
				t.Fatal(q)
			}
			s := sampleOf("n", 2, noon.Add(3*time.Second), 10, 10)
			c.change(&s)
			got := Reason("")
			q := a.Judge(&s, noon.Add(3*time.Second))
			if q != nil {
				got = q.Reason
			}
			if got != c.want {
				t.Errorf("got %q (%v), want %q", got, q, c.want)
			}
		})
	}
}

func TestTwoProcessesOfOneNameAreToldApartFromARestart(t *testing.T) {
	t.Parallel()
	a := NewAuditor(AuditConfig{})
	at := noon
	say := func(boot string, seq uint64) Reason {
		at = at.Add(3 * time.Second)
		s := sampleOf("n", seq, at, 10, 10)
		s.Boot = boot
		if q := a.Judge(&s, at); q != nil {
			return q.Reason
		}
		return ""
	}
	for i, c := range []struct {
		boot string
		seq  uint64
		want Reason
	}{
		{"first", 1, ""}, {"second", 1, ""}, {"second", 2, ""}, // started again
		{"first", 2, SameName}, {"second", 3, SameName}, {"first", 3, SameName}, // both are there
	} {
		if got := say(c.boot, c.seq); got != c.want {
			t.Errorf("sample %d of %s: got %q, want %q", i, c.boot, got, c.want)
		}
	}
	at = at.Add(2 * time.Minute) // the first one is gone
	if got := say("second", 4); got != "" {
		t.Errorf("after the other one was gone: got %q, want belief", got)
	}
}

func TestReplayedMessageOfTheProcessBefore(t *testing.T) {
	t.Parallel()
	a := NewAuditor(AuditConfig{})
	old := sampleOf("n", 1, noon, 10, 10)
	next := sampleOf("n", 1, noon.Add(3*time.Second), 10, 10)
	next.Boot = "next"
	for _, s := range []*Sample{&old, &next} {
		if q := a.Judge(s, noon.Add(3*time.Second)); q != nil {
			t.Fatal(q)
		}
	}
	if q := a.Judge(&old, noon.Add(4*time.Second)); q == nil || q.Reason != Replayed {
		t.Errorf("got %v, want %s: nobody else reports under the name", q, Replayed)
	}
}

func TestSamplesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"no JSON", "{", "read sample"},
		{"a version that is still to come", `{"v":3,"node":"n"}`, "unknown version"},
		{"no version", `{"node":"n"}`, "unknown version"},
		{"no node", `{"v":2}`, "node"},
		{"columns of different lengths", `{"v":2,"node":"n","groups":[{"name":"u","servers":["a"],"weights":[1,2]}]}`,
			"columns"},
		{"a group twice", `{"v":2,"node":"n","groups":[{"name":"u"},{"name":"u"}]}`, "twice"},
		{"a server twice", `{"v":2,"node":"n","groups":[{"name":"u","servers":["a","a"],"weights":[1,1],"requests":[0,0],
			"responses":[[0,0,0,0,0],[0,0,0,0,0]],"request_ms":[0,0],"response_ms":[0,0]}]}`, "twice"},
		{"a name with a line break", `{"v":2,"node":"a\nb"}`, "printable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := ParseSample([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzParseSample(f *testing.F) {
	f.Add([]byte(`{"v":2,"node":"n","boot":"b","seq":1,"at_ms":1772366400000,"interval_ms":3000,"groups":[{"name":"u","servers":["a"],"weights":[1],
		"requests":[3],"responses":[[0,3,0,0,0]],"request_ms":[60],"response_ms":[60],"buckets_ms":[10,100],"buckets":[[0,3]]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseSample(text)
		if err != nil {
			return
		}
		a := NewAuditor(AuditConfig{})
		if a.Judge(&s, s.At()) != nil {
			return
		}
		sum, _ := Sum([]Part{{Node: s.Node, Sample: &s, Scale: 1}}, s.At(), s.Span())
		for i := range sum.Groups {
			for _, p := range sum.Groups[i].Peers {
				n := uint64(0)
				for _, c := range p.Responses {
					n += c
				}
				if n != 0 && n != p.Requests {
					t.Fatalf("%d answers to %d requests", n, p.Requests)
				}
			}
		}
	})
}
