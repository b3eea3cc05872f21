package deathstarbench

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// The degrees of the Facebook network of Reed College (socfb-Reed98 of the Network Data Repository: 962 users, 18,812
// edges), which DeathStarBench uses, follow a Weibull distribution F(d) = 1 − exp(−(d/λ)^k) with these
// maximum-likelihood parameters to a Kolmogorov–Smirnov distance of 0.022.
const (
	degreeShape = 1.114
	degreeScale = 40.706
)

// GenerateGraph returns a random simple graph whose degrees follow those of the Reed98 graph: one degree is drawn from
// each of as many equally likely parts of its distribution as there are nodes, and the ends of edges
// are joined at random (configuration model); what would join a node to itself or to one it is joined to already is
// mended by switching with random edges, which keeps the degrees. Small graphs keep the shape at a mean degree of
// at most a quarter of the other nodes. The same seed gives the same graph.
func GenerateGraph(nodes int, seed uint64) (*Graph, error) {
	if nodes < 2 || nodes > maxNodes {
		return nil, fmt.Errorf("generate graph: %d nodes: want 2 to %d", nodes, maxNodes)
	}
	rng := rand.New(rand.NewPCG(seed, 0x2545f4914f6cdd1d))
	ends := drawEnds(rng, nodes)
	rng.Shuffle(len(ends), func(i, j int) { ends[i], ends[j] = ends[j], ends[i] })
	edges := make([][2]int32, 0, len(ends)/2)
	for i := 0; i+1 < len(ends); i += 2 {
		edges = append(edges, [2]int32{ends[i], ends[i+1]})
	}
	return &Graph{Nodes: nodes, Edges: simplify(rng, edges)}, nil
}

// drawEnds returns every node as often as its degree says; their number is even.
func drawEnds(rng *rand.Rand, nodes int) []int32 {
	mean := degreeScale * math.Gamma(1+1/degreeShape)
	scale := degreeScale * math.Min(1, math.Max(1, float64(nodes-1)/4)/mean)
	var ends []int32
	for rank, node := range rng.Perm(nodes) {
		u := (float64(rank) + rng.Float64()) / float64(nodes)
		degree := int(math.Round(scale * math.Pow(-math.Log1p(-u), 1/degreeShape)))
		for range min(max(degree, 1), max(1, (nodes-1)/2)) {
			ends = append(ends, int32(node))
		}
	}
	if len(ends)%2 == 1 {
		ends = append(ends, int32(rng.IntN(nodes)))
	}
	return ends
}

// simplify switches ends between edges until no edge joins a node to itself and no two join the same nodes. What
// cannot be mended after many tries, which happens in tiny graphs only, is left out.
func simplify(rng *rand.Rand, edges [][2]int32) [][2]int32 {
	count := make(map[[2]int32]int, len(edges))
	for _, e := range edges {
		count[ordered(e)]++
	}
	bad := func(e [2]int32) bool { return e[0] == e[1] || count[ordered(e)] > 1 }
	const tries = 1000
	for i := range edges {
		for try := 0; bad(edges[i]) && try < tries; try++ {
			j := rng.IntN(len(edges))
			a, b := edges[i], edges[j]
			x, y := [2]int32{a[0], b[1]}, [2]int32{b[0], a[1]}
			if rng.IntN(2) == 0 {
				x, y = [2]int32{a[0], b[0]}, [2]int32{a[1], b[1]}
			}
			fits := i != j && x[0] != x[1] && y[0] != y[1] && ordered(x) != ordered(y) && count[ordered(x)] == 0 &&
				count[ordered(y)] == 0
			if !fits {
				continue
			}
			count[ordered(a)]--
			count[ordered(b)]--
			count[ordered(x)]++
			count[ordered(y)]++
			edges[i], edges[j] = x, y
		}
	}
	simple := edges[:0]
	for _, e := range edges {
		if bad(e) {
			count[ordered(e)]--
			continue
		}
		simple = append(simple, ordered(e))
	}
	return simple
}

func ordered(e [2]int32) [2]int32 { return [2]int32{min(e[0], e[1]), max(e[0], e[1])} }
