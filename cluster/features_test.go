package cluster

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"trimtab/vts"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// sampleOf is a sample of two groups with one and two servers.
func sampleOf(at time.Time, interval time.Duration, compose, home uint64) vts.Sample {
	return vts.Sample{
		At: at, Interval: interval, Connections: vts.Connections{Active: 7},
		Groups: []vts.GroupSample{
			{Name: "compose_backend", Peers: []vts.PeerSample{
				{Server: "a", Weight: 1, Requests: compose, InBytes: 100 * compose, OutBytes: 20 * compose,
					Responses: vts.Responses{4: compose / 10}, RequestMsec: 3 * compose},
			}},
			{Name: "home_read_backend", Peers: []vts.PeerSample{
				{Server: "b", Weight: 2, Requests: home, InBytes: 50 * home, OutBytes: 400 * home,
					Responses: vts.Responses{3: home / 4}, RequestMsec: 2 * home},
				{Server: "a", Weight: 3, Down: true},
			}},
		},
	}
}

func TestFeatures(t *testing.T) {
	s := sampleOf(noon, 2*time.Second, 60, 20)
	idle := sampleOf(noon, 2*time.Second, 60, 0)
	for _, c := range []struct {
		set    FeatureSet
		sample vts.Sample
		want   []float64
	}{
		// 30/s of 100 bytes in and 20 out, a tenth errors, three quarters of all; 10/s of 50 and 400, no 5xx; 7
		// connections
		{LoadFeatures, s, []float64{math.Log(31), math.Log(101), math.Log(21), 0.1, 0.75, math.Log(11), math.Log(51),
			math.Log(401), 0, 0.25, math.Log(8)}},
		// a group without requests => rate and share 0, the rest unknown
		{LoadFeatures, idle, []float64{math.Log(31), math.Log(101), math.Log(21), 0.1, 1, 0, math.NaN(), math.NaN(),
			math.NaN(), 0, math.Log(8)}},
		// per server and second, servers sorted by name: bytes out, in, down, 1xx+4xx+5xx, milliseconds; 7 connections
		{SeedFeatures, s, []float64{600, 3000, 0, 3, 90, 0, 0, 1, 0, 0, 4000, 500, 0, 2.5, 20, 7}},
	} {
		schema, err := NewSchema(c.set, c.sample)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float64, schema.Dim())
		if err := schema.FeaturesTo(got, &c.sample); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-12 || math.IsNaN(got[i]) != math.IsNaN(c.want[i]) {
				t.Errorf("%s: got %v, want %v", schema.Names()[i], got[i], c.want[i])
			}
		}
		if len(schema.Names()) != schema.Dim() {
			t.Errorf("%d names for %d features", len(schema.Names()), schema.Dim())
		}
		if n := testing.AllocsPerRun(50, func() { _ = schema.FeaturesTo(got, &c.sample) }); n != 0 {
			t.Errorf("%s: %g allocations, want 0", c.set, n)
		}
	}
}

// A sample of other groups or servers is refused by name.
func TestFeaturesOfAnotherSchema(t *testing.T) {
	s := sampleOf(noon, time.Second, 1, 1)
	load, _ := NewSchema(LoadFeatures, s)
	seed, _ := NewSchema(SeedFeatures, s)
	fewer, renamed, moved, still := s, s, s, s
	fewer.Groups = s.Groups[:1]
	renamed.Groups = []vts.GroupSample{s.Groups[0], {Name: "user"}}
	moved.Groups = []vts.GroupSample{s.Groups[0], {Name: "home_read_backend", Peers: []vts.PeerSample{{Server: "b"},
		{Server: "z"}}}}
	still.Interval = 0
	for _, c := range []struct {
		schema Schema
		sample vts.Sample
		want   string
	}{
		{load, fewer, "1 upstream groups, schema has 2"},
		{load, renamed, "upstream group home_read_backend is missing"},
		{seed, moved, "server a of group home_read_backend is missing"},
		{load, still, "interval 0s is not positive"},
		{Schema{Set: ColumnFeatures, Columns: []string{"x"}}, s, "columns of numbers"},
	} {
		err := c.schema.FeaturesTo(make([]float64, c.schema.Dim()), &c.sample)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want …%s…", err, c.want)
		}
	}
	collector := NewCollector("")
	if err := collector.Add(&s); err != nil {
		t.Fatal(err)
	}
	if err := collector.Add(&fewer); err == nil || collector.Len() != 1 {
		t.Errorf("mixed schemas: got %v and %d intervals, want an error and 1", err, collector.Len())
	}
	if _, err := collector.Fit(t.Context(), Settings{K: 3}); err == nil || err.Error() != "1 intervals: 3 regimes "+
		"need at least 15; collect 14 more, or ask for fewer regimes" {
		t.Errorf("too little data: got %v", err)
	}
}

// Standardised features have mean 0 and deviation 1; a constant one keeps its unit, an unknown value is the mean.
func TestScaler(t *testing.T) {
	x := mat.NewDense(4, 3, []float64{1, 5, 2, 3, 5, math.NaN(), 5, 5, 6, 7, 5, math.NaN()})
	s := FitScaler(x)
	z := s.Transform(x)
	want := []float64{-3, 0, -1, -1, 0, 0, 1, 0, 1, 3, 0, 0}
	for i, v := range z.RawMatrix().Data {
		if i%3 == 0 {
			want[i] /= math.Sqrt(5)
		}
		if math.Abs(v-want[i]) > 1e-12 {
			t.Errorf("element %d: got %g, want %g", i, v, want[i])
		}
	}
}

func TestWindower(t *testing.T) {
	half := 500 * time.Millisecond
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * half) }
	weights := func(s vts.Sample, w int) vts.Sample { s.Groups[0].Peers[0].Weight = w; return s }
	for _, c := range []struct {
		what    string
		window  time.Duration
		samples []vts.Sample
		want    string // requests of the first group and flags of every window; dropped
	}{
		{"no window => every sample", 0, []vts.Sample{sampleOf(at(1), half, 1, 0), sampleOf(at(2), half, 2, 0)},
			"1 2>; 0"},
		{"one second => pairs, the odd one at the end is half a window and stays", time.Second,
			[]vts.Sample{sampleOf(at(1), half, 1, 0), sampleOf(at(2), half, 2, 0), sampleOf(at(3), half, 4, 0)},
			"3 4>; 0"},
		{"two seconds => one of four", 2 * time.Second,
			[]vts.Sample{sampleOf(at(1), half, 1, 0), sampleOf(at(2), half, 2, 0), sampleOf(at(3), half, 4, 0),
				sampleOf(at(4), half, 8, 0)}, "15; 0"},
		{"a gap => a new window, the piece before it is too short", 2 * time.Second,
			[]vts.Sample{sampleOf(at(1), half, 1, 0), sampleOf(at(9), half, 2, 0), sampleOf(at(10), half, 4, 0)},
			"6; 1"},
		{"weights change within => mixed", time.Second,
			[]vts.Sample{weights(sampleOf(at(1), half, 1, 0), 1), weights(sampleOf(at(2), half, 2, 0), 5)}, "3!; 0"},
		{"servers change => a new window that follows nothing", time.Second,
			[]vts.Sample{sampleOf(at(1), half, 1, 0), sampleOf(at(2), half, 1, 0),
				{At: at(3), Interval: half, Groups: []vts.GroupSample{{Peers: []vts.PeerSample{{Requests: 9}}}}},
				sampleOf(at(4), half, 5, 0)}, "2 9> 5; 0"},
	} {
		var got []string
		w := NewWindower(c.window, func(in Interval) error {
			s := fmt.Sprint(in.Sample.Groups[0].Requests())
			if in.Follows {
				s += ">"
			}
			if in.Mixed {
				s += "!"
			}
			got = append(got, s)
			return nil
		})
		for _, s := range c.samples {
			if err := w.Add(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprintf("%s; %d", strings.Join(got, " "), w.Dropped); text != c.want {
			t.Errorf("%s: got %s, want %s", c.what, text, c.want)
		}
	}
}
