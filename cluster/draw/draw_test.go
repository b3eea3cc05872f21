package draw

import (
	"bytes"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"trimtab/cluster"
	"trimtab/vts"
)

// page is one of k regimes that alternate, one of them never left.
func page(t *testing.T, k int) Page {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 240
	x := mat.NewDense(n, 3, nil)
	mixture := &cluster.Mixture{K: k, D: 3, Covariance: cluster.Diag}
	for c := range k {
		mixture.Weights = append(mixture.Weights, 1/float64(k))
		mixture.Means = append(mixture.Means, float64(c%5), float64(c%3), float64(c))
		mixture.Covariances = append(mixture.Covariances, 0.1, 0.1, 0.1)
	}
	schema := cluster.Schema{Set: cluster.ColumnFeatures, Columns: []string{"a", "b", "c"}}
	for i := range n {
		for j := range 3 {
			x.Set(i, j, mixture.Means[i/10%k*3+j]+0.3*rng.NormFloat64())
		}
	}
	m, err := cluster.NewModel(schema, cluster.IdentityScaler(3), mixture, x)
	if err != nil {
		t.Fatal(err)
	}
	p := Page{Title: "Test", Model: m, X: x}
	var history []cluster.Step
	var labels []string
	w := m.NewWorkspace()
	for i := range n {
		a := m.Assign(w, x.RawRowView(i))
		p.Assigned = append(p.Assigned, a)
		s := vts.Sample{At: time.Unix(int64(3*i), 0), Interval: 3 * time.Second,
			Groups: []vts.GroupSample{{Name: "a_backend", Peers: []vts.PeerSample{{Requests: uint64(i)}}}}}
		p.Intervals = append(p.Intervals, cluster.Interval{Sample: s, Follows: i%100 > 0})
		history = append(history, cluster.Step{Regime: a.Regime, Follows: i%100 > 0})
	}
	for _, r := range m.Regimes {
		labels = append(labels, r.Label)
	}
	p.Transitions = cluster.CountTransitions(labels, history, 3*time.Second)
	for k := 1; k <= 6; k++ {
		p.Curve = append(p.Curve, cluster.Choice{K: k, BIC: float64((k - 3) * (k - 3)), AIC: float64(k), ICL: 5})
	}
	return p
}

// Every panel can be left out; the page is a picture with more than one colour in it, and as SVG names its axes.
func TestWrite(t *testing.T) {
	for _, c := range []struct {
		what string
		k    int
		cut  func(*Page)
	}{
		{"everything, few regimes", 3, func(*Page) {}},
		{"everything, more regimes than colours", 27, func(*Page) {}},
		{"a fit of plain numbers", 2, func(p *Page) { p.Intervals, p.Transitions, p.Curve = nil, nil, nil }},
		{"plain numbers with a curve", 2, func(p *Page) { p.Intervals, p.Transitions = nil, nil }},
		{"one regime of one interval", 1, func(p *Page) {
			p.X, p.Assigned, p.Intervals, p.Curve = mat.NewDense(1, 3, nil), p.Assigned[:1], p.Intervals[:1], nil
		}},
	} {
		p := page(t, c.k)
		c.cut(&p)
		var b bytes.Buffer
		if err := Write(&b, "png", p); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		img, err := png.Decode(&b)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		colours := map[any]bool{}
		for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y += 3 {
			for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x += 3 {
				colours[img.At(x, y)] = true
			}
		}
		if len(colours) < 5 || img.Bounds().Dx() < 1000 {
			t.Errorf("%s: %d colours on %v", c.what, len(colours), img.Bounds())
		}
		b.Reset()
		if err := Write(&b, "svg", p); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if text := b.String(); !strings.Contains(text, "principal component") || strings.Contains(text, "NaN") {
			t.Errorf("%s: the SVG lacks its axis or holds NaN", c.what)
		}
	}
	if err := Write(new(bytes.Buffer), "gif", Page{}); err == nil {
		t.Error("gif: no error")
	}
}
