package objective

import "trimtab/vts"

// Bounds of a histogram that mean something, in ms: less than a microsecond is 0, more than four months is without end.
const (
	leastBoundMsec = 1e-3
	mostBoundMsec  = 1e10
)

// histogramOf returns the bounds in ms of a peer's histogram, positive and ascending, and how many requests were at or
// below each. What does not ascend, and bounds that mean nothing, are left out: a page may say anything. Empty without
// a histogram. They lie in room when it is large enough.
func histogramOf(p *vts.PeerSample, room *histogramRoom) (bounds, counts []float64) {
	if p.Requests == 0 || len(p.Buckets) != len(p.BucketsMsec) {
		return nil, nil
	}
	bounds, counts = room[0][:0], room[1][:0]
	low, below := leastBoundMsec, 0.0
	for k, high := range p.BucketsMsec {
		if !(high > low) || high > mostBoundMsec {
			continue
		}
		low, below = high, min(max(below, float64(p.Buckets[k])), float64(p.Requests))
		bounds, counts = append(bounds, low), append(counts, below)
	}
	return bounds, counts
}

// histogramRoom is room for the bounds and counts of the histograms that pages have.
type histogramRoom [2][32]float64
