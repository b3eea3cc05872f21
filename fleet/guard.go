package fleet

import (
	"cmp"
	"math"
	"slices"

	"trimtab/vts"
	"trimtab/weights"
)

// The guard of a node: what it sees itself goes before what it is told.
const (
	failsClearly = 0.5 // of the answers of a server here are 5xx, while those of the other servers are not
	failsOthers  = 0.2
	spareSec     = 30.0 // for how long a server is then spared
)

// failing is a server that fails here.
type failing struct{ leftSec float64 }

// watch finds servers that fail as seen from this node.
func (n *Node) watch(s *vts.Sample) {
	sec := s.Interval.Seconds()
	for key, f := range n.fails {
		if f.leftSec -= sec; f.leftSec <= 0 {
			delete(n.fails, key)
		} else {
			n.fails[key] = f
		}
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		all, bad := 0.0, 0.0
		for j := range g.Peers {
			all += float64(g.Peers[j].Requests)
			bad += float64(g.Peers[j].Responses.Errors())
		}
		for j := range g.Peers {
			p := &g.Peers[j]
			requests, errors := float64(p.Requests), float64(p.Responses.Errors())
			rest := all - requests
			if requests >= enough && errors >= failsClearly*requests && rest >= enough &&
				bad-errors < failsOthers*rest {
				n.fails[[2]string{g.Name, p.Server}] = failing{leftSec: spareSec}
			}
		}
	}
}

func sortedFails(m map[[2]string]failing) [][2]string {
	out := make([][2]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	return out
}

// guarded are the settings with next to nothing for servers that fail here.
func (n *Node) guarded(want weights.Set) weights.Set {
	if len(n.fails) == 0 {
		return want
	}
	out := want.Clone()
	for key := range n.fails {
		g := out[key[0]]
		s, ok := g[key[1]]
		if !ok || s.Down || len(g) < 2 {
			continue
		}
		s.Weight = weights.Clamp(weights.Min)
		g[key[1]] = s
	}
	return out
}

// guard tells whether a student is to be trusted while nobody else is to be heard: not when answers take much longer
// than they did under the plans.
type guard struct {
	before decaying // mean response time while led, ms
	now    decaying // while cut off
	lost   bool
}

// decaying is a mean that forgets.
type decaying struct{ value, sec float64 }

func (a *decaying) add(v, sec, memory float64) {
	part := 1.0
	if a.sec > 0 {
		part = -math.Expm1(-sec / memory)
	}
	a.value += part * (v - a.value)
	a.sec += sec
}

const (
	guardMemory = 60.0 // s
	guardPeriod = 60.0 // s that a judgement takes
	guardWorse  = 2.0  // times the mean response time
)

func (g *guard) observe(s *vts.Sample, m Mode) {
	ms, n := 0.0, 0.0
	for i := range s.Groups {
		for j := range s.Groups[i].Peers {
			ms += float64(s.Groups[i].Peers[j].ResponseMsec)
			n += float64(s.Groups[i].Peers[j].Requests)
		}
	}
	if n < enough {
		return
	}
	sec := s.Interval.Seconds()
	if m == Led || m == Trial {
		g.before.add(ms/n, sec, guardMemory)
		return
	}
	g.now.add(ms/n, sec, guardMemory)
	if g.before.sec > 0 && g.now.sec >= guardPeriod && g.now.value > guardWorse*g.before.value+1 {
		g.lost = true
	}
}

// led begins anew: a centre is heard.
func (g *guard) led() { g.now, g.lost = decaying{}, false }

func (g *guard) trusts() bool { return !g.lost }
