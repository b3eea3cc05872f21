package pursuit

import (
	"slices"

	"trimtab/objective"
	"trimtab/vts"
)

// waited is a sample in which whoever gave up is counted with the time that he waited. The module counts him with 0 ms,
// so that servers whose queues nobody outlasts would look the fastest: nothing would be refused when refusing is most
// needed. Histograms, which have these 0 ms too, are left out.
func waited(s vts.Sample) vts.Sample {
	cloned := false
	for i := range s.Groups {
		if !slices.ContainsFunc(s.Groups[i].Peers, func(p vts.PeerSample) bool { return objective.GaveUp(&p) }) {
			continue
		}
		if !cloned {
			s.Groups, cloned = slices.Clone(s.Groups), true
		}
		g := &s.Groups[i]
		g.Peers = slices.Clone(g.Peers)
		for j := range g.Peers {
			if p := &g.Peers[j]; objective.GaveUp(p) {
				p.ResponseMsec, p.Buckets, p.BucketsMsec = max(p.ResponseMsec, p.RequestMsec), nil, nil
			}
		}
	}
	return s
}
