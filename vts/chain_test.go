package vts

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"
)

// FuzzChain: two pages, whatever they hold, give numbers that are finite and bounded all the way to what is said of
// servers.
func FuzzChain(f *testing.F) {
	f.Add(page(2, 3, 4, 2), page(2, 3, 4, 2), int64(1000))
	f.Add(pageOf(0, "web", rows(0, 3, 1)), pageOf(1000, "web", rows(1, 4, 2)), int64(3000))
	f.Add(pageOf(0, "web\xff", row("a\x1b", 0, 1)), pageOf(1, "web", row("web", 0, 7)), int64(1))
	f.Fuzz(func(t *testing.T, first, second []byte, ms int64) {
		a, b := new(Status), new(Status)
		if Decode(first, time.Time{}, a) != nil || Decode(second, time.Time{}, b) != nil {
			return
		}
		b.NowMsec = a.NowMsec + ms
		s, err := Delta(a, b)
		if err != nil {
			return
		}
		seconds := s.Interval.Seconds()
		for _, g := range s.Groups {
			_ = g.LongLived()
			for i, e := range g.Excess() {
				p := g.Peers[i]
				for _, v := range []float64{p.RatePerSec(s.Interval), p.InFlight(s.Interval),
					p.MeanResponse().Seconds(),
					e.ClientErrors, e.Unanswered, e.UnansweredMsec, e.WaitMsec} {
					if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
						t.Fatalf("server %q of %q over %g s: got %g from %+v, %+v", p.Server, g.Name, seconds, v, p, e)
					}
				}
				if e.ClientErrors > float64(p.Responses[3]) {
					t.Fatalf("server %q: %g client errors of its own of %d", p.Server, e.ClientErrors, p.Responses[3])
				}
			}
		}
		if _, err := json.Marshal(s); err != nil {
			t.Fatal(err)
		}
		if line := AppendRecord(nil, b); bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("a record of more than one line: %q", line)
		}
	})
}
