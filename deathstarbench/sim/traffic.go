package sim

import (
	"math"

	"trimtab/deathstarbench"
)

// traffic returns the bytes of a request and its response as NGINX counts them. The sizes of messages vary with the
// size of the request; an error page of NGINX or of a server has about 300 bytes.
func (g *group) traffic(normal float64, status uint16) (in, out uint64) {
	spread := uint64(math.Abs(normal) * 128)
	switch {
	case g.own != nil:
		in, out = uint64(g.own.RequestBytes()), answerHeaders+uint64(g.own.AnswerBytes(normal))
	case g.workload == deathstarbench.ComposePost:
		in, out = 700+spread, 190
	case g.workload == deathstarbench.ReadHomeTimeline:
		in, out = 160, 6000+8*spread
	default:
		in, out = 160, 5000+8*spread
	}
	if status >= 400 {
		out = 300
	}
	return in, out
}

// answerHeaders is about how many bytes of an answer are not its body.
const answerHeaders = 150

// repeatable reports whether NGINX sends a request that was lost with its server to another.
func (g *group) repeatable() bool {
	if g.own != nil {
		return g.own.Repeatable()
	}
	return g.workload != deathstarbench.ComposePost
}
