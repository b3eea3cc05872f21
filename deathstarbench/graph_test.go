package deathstarbench

import (
	"bytes"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestReadGraph(t *testing.T) {
	for _, c := range []struct {
		why, text string
		nodes     int
		edges     [][2]int32
	}{
		{"ids that count from 0", "1 0\n2 1\n", 3, [][2]int32{{0, 1}, {1, 2}}},
		{"ids that count from 1", "1 2\n2 3\n", 3, [][2]int32{{0, 1}, {1, 2}}},
		{"the number of nodes first, more than have edges", "5\n0 1\n", 5, [][2]int32{{0, 1}}},
		{"the number of nodes first, ids from 1", "3\n1 3\n", 3, [][2]int32{{0, 2}}},
		{"users without any edge", "4\n", 4, nil},
		{"tabs, commas, comments, empty lines, DOS line ends, no last line end", "% sym\n# x\n\n0,1\r\n1\t2", 3,
			[][2]int32{{0, 1}, {1, 2}}},
		{"the same edge again and in reverse", "0 1\n1 0\n0 1\n", 2, [][2]int32{{0, 1}}},
	} {
		g, err := ReadGraph(strings.NewReader(c.text), "g")
		if err != nil || g.Nodes != c.nodes || !slices.Equal(g.Edges, c.edges) {
			t.Errorf("%s: got %+v, %v, want %d nodes, %v", c.why, g, err, c.nodes, c.edges)
		}
	}
}

func TestReadGraphRefuses(t *testing.T) {
	for _, c := range []struct{ why, text, want string }{
		{"a word", "0 1\n1 x\n", `g.edges:2: "x": want a whole number`},
		{"a negative id", "0 1\n-1 0\n", `g.edges:2: "-1": want a whole number`},
		{"one id alone after the first line", "0 1\n2\n", `g.edges:2: "2": want two node ids`},
		{"a weight", "0 1 0.5\n", `g.edges:1: "0.5": want a whole number`},
		{"three ids", "0 1 2\n", `g.edges:1: "0 1 2": want two node ids`},
		{"a node that follows itself", "0 1\n\n1 1\n", `g.edges:3: node 1 follows itself`},
		{"more nodes than the first line says", "2\n0 1\n1 2\n", `g.edges:3: node 2: the first line says 2 nodes`},
		{"an id without bounds", "0 99999999999\n", `g.edges:1: "99999999999": want a whole number from 0 to 10000000`},
		{"nothing", "# empty\n", `g.edges: no edges`},
		{"no nodes", "0\n", `g.edges:1: 0 nodes`},
		{"a line without end", strings.Repeat("1", 1<<17), `g.edges:1: bufio.Scanner: token too long`},
	} {
		_, err := ReadGraph(strings.NewReader(c.text), "g.edges")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.why, err, c.want)
		}
	}
}

func TestWrittenGraphsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, err := GenerateGraph(rapid.IntRange(2, 60).Draw(t, "nodes"), rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if n, err := g.WriteTo(&text); err != nil || n != int64(text.Len()) {
			t.Fatalf("got %d, %v", n, err)
		}
		back, err := ReadGraph(&text, "g")
		if err != nil {
			t.Fatal(err)
		}
		// Every generated node has an edge, so that node 0 occurs and the ids stay.
		if back.Nodes != g.Nodes || !slices.Equal(back.Edges, g.Edges) {
			t.Fatalf("got %+v, want %+v", back, g)
		}
	})
}

func TestGeneratedGraphsAreSimple(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(2, 200).Draw(t, "nodes")
		g, err := GenerateGraph(nodes, rapid.Uint64().Draw(t, "seed"))
		if err != nil || g.Nodes != nodes {
			t.Fatalf("got %+v, %v", g, err)
		}
		seen := map[[2]int32]bool{}
		for _, e := range g.Edges {
			if e[0] >= e[1] || e[0] < 0 || int(e[1]) >= nodes || seen[e] {
				t.Fatalf("edge %v: want two different nodes below %d, once", e, nodes)
			}
			seen[e] = true
		}
	})
}

func TestGeneratedGraphsAreSeeded(t *testing.T) {
	a, _ := GenerateGraph(DefaultUsers, 1)
	b, _ := GenerateGraph(DefaultUsers, 1)
	c, _ := GenerateGraph(DefaultUsers, 2)
	if !slices.Equal(a.Edges, b.Edges) {
		t.Error("one seed: got two graphs")
	}
	if slices.Equal(a.Edges, c.Edges) {
		t.Error("two seeds: got one graph")
	}
	for _, nodes := range []int{-1, 0, 1, maxNodes + 1} {
		if _, err := GenerateGraph(nodes, 1); err == nil {
			t.Errorf("%d nodes: got no error", nodes)
		}
	}
}

// The figures of socfb-Reed98 (Network Data Repository): 962 users, 18,812 edges, mean degree 39.1, standard deviation
// of the degrees 35.4, quartiles 14, 29 and 54.
func TestGeneratedDegreesResembleReed98(t *testing.T) {
	for seed := range uint64(5) {
		g, err := GenerateGraph(DefaultUsers, seed)
		if err != nil {
			t.Fatal(err)
		}
		degrees := g.Degrees()
		slices.Sort(degrees)
		mean, sd := moments(degrees)
		within := func(what string, got, want, tolerance float64) {
			t.Helper()
			if math.Abs(got-want) > tolerance*want {
				t.Errorf("seed %d: %s: got %.1f, want %.1f within %.0f %%", seed, what, got, want, 100*tolerance)
			}
		}
		within("edges", float64(len(g.Edges)), 18812, 0.02)
		within("mean degree", mean, 39.1, 0.02)
		within("standard deviation of the degrees", sd, 35.4, 0.05)
		for quantile, want := range map[float64]float64{0.25: 14, 0.5: 29, 0.75: 54, 0.9: 87, 0.95: 108, 0.99: 157} {
			within("quantile", float64(degrees[int(quantile*DefaultUsers)]), want, 0.1)
		}
	}
}

// Two samples of 962 differ by more than 0.062 in one of twenty draws from one distribution, by two-sample
// Kolmogorov–Smirnov; ours must stay below.
func TestGeneratedDegreesPassKolmogorovSmirnovAgainstReed98(t *testing.T) {
	const path = "../../shared/data/graph/socfb-Reed98.edges"
	if _, err := os.Stat(path); err != nil {
		t.Skip("the Reed98 graph is not part of the project: ", err)
	}
	reed, err := ReadGraphFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if reed.Nodes != 962 || len(reed.Edges) != 18812 {
		t.Fatalf("Reed98: got %d nodes and %d edges", reed.Nodes, len(reed.Edges))
	}
	want := reed.Degrees()
	slices.Sort(want)
	for seed := range uint64(10) {
		g, err := GenerateGraph(962, seed)
		if err != nil {
			t.Fatal(err)
		}
		got := g.Degrees()
		slices.Sort(got)
		if d := distance(got, want); d > 0.062 {
			t.Errorf("seed %d: Kolmogorov–Smirnov distance %.4f, want at most 0.062", seed, d)
		} else {
			mean, sd := moments(got)
			t.Logf("seed %d: %d edges, mean degree %.2f, sd %.2f, max %d, distance %.4f", seed, len(g.Edges), mean, sd,
				got[len(got)-1], d)
		}
	}
}

func moments(x []int) (mean, sd float64) {
	for _, v := range x {
		mean += float64(v) / float64(len(x))
	}
	for _, v := range x {
		sd += (float64(v) - mean) * (float64(v) - mean) / float64(len(x))
	}
	return mean, math.Sqrt(sd)
}

// distance is the largest difference of the empirical distributions of two sorted samples.
func distance(a, b []int) float64 {
	worst := 0.0
	for _, v := range append(slices.Clone(a), b...) {
		i, _ := slices.BinarySearch(a, v+1)
		j, _ := slices.BinarySearch(b, v+1)
		worst = max(worst, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	return worst
}

func FuzzReadGraph(f *testing.F) {
	f.Add("3\n0 1\n1 2\n")
	f.Add("1,2\n% c\n2 3\n")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ReadGraph(strings.NewReader(text), "g")
		if err != nil {
			return
		}
		for _, e := range g.Edges {
			if e[0] < 0 || e[0] >= e[1] || int(e[1]) >= g.Nodes {
				t.Fatalf("edge %v of %d nodes", e, g.Nodes)
			}
		}
	})
}
