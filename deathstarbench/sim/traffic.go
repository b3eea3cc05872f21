package sim

import (
	"math"

	"trimtab/deathstarbench"
)

// traffic returns the bytes of a request and its response as NGINX counts them. The sizes of the social network's
// messages vary with the size of the request; an error page of NGINX or of a server has about 300 bytes.
func traffic(workload string, normal float64, status uint16) (in, out uint64) {
	spread := uint64(math.Abs(normal) * 128)
	switch workload {
	case deathstarbench.ComposePost:
		in, out = 700+spread, 190
	case deathstarbench.ReadHomeTimeline:
		in, out = 160, 6000+8*spread
	default:
		in, out = 160, 5000+8*spread
	}
	if status >= 400 {
		out = 300
	}
	return in, out
}
