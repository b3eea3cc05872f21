package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"trimtab/vts"
)

// wildPage is a status page that is well formed and means little: any names, any weights, any histogram, counters that
// rise by anything.
type wildPage struct {
	rng    *rand.Rand
	began  time.Time
	status vts.Status
}

func newWildPage(seed uint64) *wildPage {
	p := &wildPage{rng: rand.New(rand.NewPCG(seed, 1)), began: time.Now()}
	names := []string{"app", "caf\xe9", "a\x1b[31m", "<b>", "a,b", `a\xff`, "a\xff"}
	bounds := [][]float64{nil, {5}, {1e308}, {5e-324, 1e-300}, {1, 2, 5, 10, 1e308, math.MaxFloat64},
		{10, 50, 100, 500}}
	for g := range 1 + p.rng.IntN(3) {
		u := vts.Upstream{Name: fmt.Sprint(names[p.rng.IntN(len(names))], g)}
		for s := range 1 + p.rng.IntN(6) {
			peer := vts.Peer{Server: fmt.Sprintf("%s:%d", names[p.rng.IntN(len(names))], s),
				Weight: p.rng.IntN(3) * p.rng.IntN(1<<20)}
			peer.BucketsMsec = bounds[p.rng.IntN(len(bounds))]
			peer.Buckets = make([]uint64, len(peer.BucketsMsec))
			u.Peers = append(u.Peers, peer)
		}
		p.status.Upstreams = append(p.status.Upstreams, u)
	}
	return p
}

// Status implements vts.StatusSource.
func (p *wildPage) Status(context.Context) (vts.Status, error) {
	st := &p.status
	st.At, st.NowMsec, st.LoadMsec = time.Now(), time.Now().UnixMilli(), p.began.UnixMilli()
	for i := range st.Upstreams {
		for j := range st.Upstreams[i].Peers {
			peer := &st.Upstreams[i].Peers[j]
			n := uint64(p.rng.IntN(4)) * uint64(p.rng.IntN(1<<uint(p.rng.IntN(16))))
			peer.Requests += n
			peer.Responses[1+p.rng.IntN(len(peer.Responses)-1)] += n // with 1xx it would be left out, see Session.fits
			peer.ResponseMsec += n * uint64(p.rng.IntN(1<<uint(p.rng.IntN(20))))
			peer.RequestMsec += n * uint64(p.rng.IntN(1<<uint(p.rng.IntN(20))))
			for b := range peer.Buckets {
				peer.Buckets[b] += n * uint64(b+1) / uint64(len(peer.Buckets))
			}
			st.Connections.Requests += n
		}
	}
	out := *st
	out.Upstreams = nil
	for _, u := range st.Upstreams {
		u.Peers = append([]vts.Peer(nil), u.Peers...)
		for j := range u.Peers {
			u.Peers[j].Buckets = append([]uint64(nil), u.Peers[j].Buckets...)
		}
		out.Upstreams = append(out.Upstreams, u)
	}
	return out, nil
}

// From page to JSON: whatever a page says, steps go on, metrics can be read, the report is JSON and the state is kept.
func TestWildPages(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, log, reg := testService(t, nil)
				page := newWildPage(seed)
				p := d.poll(t, page)
				for _, u := range page.status.Upstreams {
					d.session.tunable[u.Name] = true
				}
				d.session.play(new(int), false)
				for range 12 {
					<-time.After(3 * time.Second)
					p.Step(t.Context())
					_, _ = d.Step(t.Context())
					if _, err := reg.Gather(); err != nil {
						t.Fatal(err)
					}
					if text, err := json.Marshal(d.report()); err != nil || !json.Valid(text) {
						t.Fatalf("report %q: %v", text, err)
					}
				}
				d.save(d.session)
				st, err := d.store.Read()
				if err != nil || !st.Base.Equal(d.state.Base) {
					t.Fatalf("kept %q, %v, want %q", st.Base, err, d.state.Base)
				}
				for _, in := range allParts {
					// What a learner makes of such pages is its own tests' matter; here it is that the daemon outlives
					// it.
					if n := d.counted(in); n > 0 && in != inPolicy && in != inExplanation {
						t.Errorf("%v internal faults in %s: %s", n, in, log)
					}
				}
				if d.sampled.IsZero() || len(st.Base) == 0 {
					t.Errorf("no sample was taken: %s", log)
				}
			})
		})
	}
}
