package pursuit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// A request takes 103 ms, and a tenth more or less. However few of them a server is sent, it is not taken for one that
// is faster than that: all that came on top would look like waiting, and be refused.
func TestFewRequestsMakeNoServerFaster(t *testing.T) {
	for _, perInterval := range []int{1, 4, 16, 64} {
		t.Run(fmt.Sprint(perInterval), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(perInterval)))
			q := quiet{base: 0.103}
			for range 360 { // an hour
				sum := 0.0
				for range perInterval {
					sum += 0.103 * math.Exp(0.1*rng.NormFloat64())
				}
				q.observe(seenClass{perSec: float64(perInterval) / 10, count: float64(perInterval),
					responseSec: sum / float64(perInterval)}, 10)
			}
			if math.Abs(q.base/0.103-1) > baseUnsure {
				t.Errorf("a request is believed to take %.1f ms without waiting, it is 103", q.base*1e3)
			}
		})
	}
}
