package tuner_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
)

// Long polls among ordinary requests: one answer in twenty comes after half a minute. All servers of a group get the
// same mix, so that nobody's share moves far from what equal servers deserve, however uneven the sums of response times
// are.
func TestLongPollsMoveNobodyFar(t *testing.T) {
	for _, method := range []tuner.Method{tuner.RoundRobin, tuner.LeastConn} {
		t.Run(string(method), func(t *testing.T) {
			t.Parallel()
			p, err := tuner.New(tuner.Config{Method: method, EjectIdle: true,
				Regimes: load.RegimeConfig{Observe: -1}})
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			poisson := func(mean float64) (n uint64) {
				for at := rng.ExpFloat64(); at < mean; at += rng.ExpFloat64() {
					n++
				}
				return n
			}
			group := vts.GroupSample{Name: "app", Peers: make([]vts.PeerSample, 3)}
			for i := range group.Peers {
				group.Peers[i] = vts.PeerSample{Server: "10.0.0." + string(rune('1'+i)) + ":80", Weight: 1, Known: true}
			}
			share := func(i int) float64 {
				sum := 0
				for _, v := range group.Peers {
					sum += v.Weight
				}
				return float64(group.Peers[i].Weight) / float64(sum)
			}
			at := time.Unix(1e9, 0)
			for step := range 200 {
				at = at.Add(3 * time.Second)
				for i := range group.Peers {
					v := &group.Peers[i]
					plain, polls := poisson(150*3*share(i)*0.95), poisson(150*3*share(i)*0.05)
					v.Requests = plain + polls
					v.Responses = vts.Responses{1: v.Requests}
					v.ResponseMsec = plain*20 + polls*uint64(30000*(0.9+0.1*rng.Float64()))
					v.RequestMsec = v.ResponseMsec
				}
				s := vts.Sample{At: at, Interval: 3 * time.Second, Groups: []vts.GroupSample{group}}
				p.Observe(s, control.InForce(s))
				if d := p.Choose(); len(d.Weights) > 0 {
					p.Committed(control.Receipt{Want: d.Weights, Changed: true, Reloaded: true})
					group.Peers = append([]vts.PeerSample(nil), group.Peers...)
					for i := range group.Peers {
						set := d.Weights["app"][group.Peers[i].Server]
						if group.Peers[i].Weight = set.Weight.Int(); set.Down {
							t.Fatalf("interval %d: a server is taken out: %s", step, d.Reason)
						}
					}
				}
				for i := range group.Peers {
					if math.Abs(share(i)-1.0/3) > 0.1 {
						t.Fatalf("interval %d: server %d has a share of %.2f, want about a third", step, i, share(i))
					}
				}
			}
		})
	}
}
