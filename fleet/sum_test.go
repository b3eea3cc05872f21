package fleet

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func partsOf(samples ...Sample) (out []Part) {
	for i := range samples {
		out = append(out, Part{Node: samples[i].Node, Sample: &samples[i], Scale: 1})
	}
	return out
}

func TestSumOfNodesThatAgreeIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "nodes")
		var samples []Sample
		var a, b uint64
		for range n {
			x := 100 * rapid.Uint64Range(1, 5).Draw(t, "hundreds") // each sends a third to b
			samples = append(samples, sampleOf("n", 1, noon, 2*x, x))
			a, b = a+2*x, b+x
		}
		got, wrong := Sum(partsOf(samples...), noon, 3*time.Second)
		if len(wrong) > 0 {
			t.Fatalf("contradictions %v, want none", wrong)
		}
		p := got.Groups[0].Peers
		if p[0].Requests != a || p[1].Requests != b || p[0].ResponseMsec != 20*a || p[1].ResponseMsec != 20*b ||
			p[0].Responses[1] != a {
			t.Fatalf("got %+v, want %d and %d requests of 20 ms", p, a, b)
		}
		if p[0].Buckets[1] != a {
			t.Fatalf("got histogram %v, want %d in it", p[0].Buckets, a)
		}
	})
}

func TestSumOfFewNodes(t *testing.T) {
	t.Parallel()
	slow := sampleOf("two", 1, noon, 100, 50)
	slow.Groups[0].ResponseMS[0] = 100 * 100
	got, wrong := Sum(partsOf(sampleOf("one", 1, noon, 100, 50), slow), noon, 3*time.Second)
	if p := got.Groups[0].Peers[0]; p.Requests != 200 || p.ResponseMsec != 100*20+100*100 || len(wrong) > 0 {
		t.Errorf("got %+v and %v, want the mean of both: nobody can tell who is wrong", p, wrong)
	}
}

func TestWhatOneNodeCanAddToASum(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		lie          func(*Sample)
		least, most  float64 // mean response time of server a, ms
		share        float64 // of server a: at most so far from 2/3
		contradicted bool
	}{
		{"nothing", func(*Sample) {}, 19.9, 20.1, 0.001, false},
		{"that a server is a hundred times slower", func(s *Sample) { s.Groups[0].ResponseMS[0] *= 100 }, 20, 26, 0.001,
			true},
		{"that it is twice as slow", func(s *Sample) { s.Groups[0].ResponseMS[0] *= 2 }, 20, 26, 0.001, false},
		{"that it takes no time", func(s *Sample) { s.Groups[0].ResponseMS[0] = 0 }, 17, 20, 0.001, true},
		{"a million requests that took no time", func(s *Sample) {
			s.Groups[0].Requests[0], s.Groups[0].Responses[0][1], s.Groups[0].ResponseMS[0] = 1e6, 1e6, 0
			s.Groups[0].Buckets = nil
		}, 15, 20, 0.13, true},
		{"that all answers fail", func(s *Sample) { s.Groups[0].Responses[0] = [5]uint64{4: s.Groups[0].Requests[0]} },
			19.9, 20.1, 0.001, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var samples []Sample
			for _, name := range []string{"one", "two", "three", "four"} {
				samples = append(samples, sampleOf(name, 1, noon, 200, 100))
			}
			c.lie(&samples[3])
			got, wrong := Sum(partsOf(samples...), noon, 3*time.Second)
			p := got.Groups[0].Peers
			mean := float64(p[0].ResponseMsec) / float64(p[0].Requests)
			share := float64(p[0].Requests) / float64(p[0].Requests+p[1].Requests)
			if mean < c.least || mean > c.most || math.Abs(share-2.0/3) > c.share {
				t.Errorf("got %.1f ms and a share of %.3f, want %.1f to %.1f ms and a share near 0.667", mean, share,
					c.least, c.most)
			}
			if fails := float64(p[0].Responses[4]) / float64(p[0].Requests); fails > 0.02 {
				t.Errorf("%.3f of the answers count as failed, want at most 0.02", fails)
			}
			if (len(wrong) > 0) != c.contradicted || len(wrong) > 0 && wrong[0].Node != "four" {
				t.Errorf("got contradictions %v, want any of node four: %t", wrong, c.contradicted)
			}
		})
	}
}
