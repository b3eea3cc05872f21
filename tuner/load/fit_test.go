package load

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trimtab/cluster"
	"trimtab/vts"
)

// shifts returns samples every 3 s of groups whose load turns from night to day and back every four minutes, and of one
// more group from the interval extra on.
func shifts(n, extra int) []vts.Sample {
	out := make([]vts.Sample, n)
	for i := range out {
		s := vts.Sample{At: time.Unix(int64(1_700_000_000+3*i), 0), Interval: 3 * time.Second}
		rate := uint64(30)
		if i/80%2 == 1 {
			rate = 300
		}
		names := []string{"a", "b"}
		if i >= extra {
			names = append(names, "c")
		}
		for g, name := range names {
			count := rate + uint64(i*7%11) + uint64(g)
			p := vts.PeerSample{Server: "10.0.0.1:80", Weight: 1, Known: true, Requests: count,
				ResponseMsec: 20 * count,
				InBytes:      300 * count, OutBytes: 2000 * count}
			p.Responses[1] = count
			s.Groups = append(s.Groups, vts.GroupSample{Name: name, Peers: []vts.PeerSample{p}})
		}
		out[i] = s
	}
	return out
}

func follow(t *testing.T, samples []vts.Sample) (*Regimes, []Regime) {
	t.Helper()
	r, err := NewRegimes(RegimeConfig{Observe: 16 * time.Minute}, 5)
	if err != nil {
		t.Fatal(err)
	}
	var out []Regime
	for i := range samples {
		out = append(out, r.Track(&samples[i]))
	}
	return r, out
}

func TestAModelIsTakenOverAMinuteAfterItIsDue(t *testing.T) {
	defer goleak.VerifyNone(t)
	const due = 320 // intervals of 16 minutes
	r, got := follow(t, shifts(700, 1e6))
	known := slices.IndexFunc(got, func(r Regime) bool { return !r.Learning })
	if known != due-1+20 {
		t.Errorf("regimes are known from interval %d on, want %d: a minute after the observation", known, due-1+20)
	}
	night, day := got[known+20], got[known+100]
	if night.Index == day.Index || night.Index < 0 || day.Index < 0 || r.fault != nil {
		t.Errorf("got the regimes %+v and %+v (%v), want two that are known", night, day, r.fault)
	}
	past := 0.0
	for _, d := range r.Forecast().Demands {
		past += d.Sec
	}
	if past < 3*600 {
		t.Errorf("the forecast knows %v s of the past, want all 2100 but what is unlike any regime", past)
	}
	if _, again := follow(t, shifts(700, 1e6)); !reflect.DeepEqual(got, again) {
		t.Error("the same load and seed: got other regimes in another run")
	}
}

func TestAFitIsGivenUpWhenTheGroupsChange(t *testing.T) {
	defer goleak.VerifyNone(t)
	r, got := follow(t, shifts(345, 330)) // ten intervals after the fit began
	if last := got[len(got)-1]; !last.Learning || r.fitting != nil || r.seen > time.Minute {
		t.Errorf("got %+v after %v, want the observation begun anew", last, r.seen)
	}
}

func TestWhatFailsBesideTheStepsIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := cluster.NewCollector(cluster.LoadFeatures)
	for _, s := range shifts(100, 1e6) {
		if err := c.Add(&s); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []struct {
		name string
		ctx  context.Context
		c    *cluster.Collector
		want string
	}{
		{"a fit that was given up", ctx, c, "canceled"},
		{"a fit to nothing", t.Context(), cluster.NewCollector(cluster.LoadFeatures), "no intervals"},
		{"a panic", t.Context(), nil, "nil pointer"},
	} {
		t.Run(v.name, func(t *testing.T) {
			if got := fit(v.ctx, v.c, v.c, RegimeConfig{Count: 3}, 1); !strings.Contains(fmt.Sprint(got.err), v.want) {
				t.Errorf("got %v, want an error that says %q", got.err, v.want)
			}
		})
	}
}

func TestWhatIsCollectedOfManyGroupsIsBounded(t *testing.T) {
	const groups, intervals = 100, 4800 // four hours
	r, err := NewRegimes(RegimeConfig{Observe: 100 * time.Hour}, 5)
	if err != nil {
		t.Fatal(err)
	}
	s := shifts(1, 0)[0]
	s.Groups = nil
	for g := range groups {
		s.Groups = append(s.Groups, vts.GroupSample{Name: fmt.Sprintf("g%03d", g),
			Peers: []vts.PeerSample{{Server: "a", Weight: 1, Known: true, Requests: 60}}})
	}
	for range intervals {
		r.Track(&s)
	}
	n, seconds := r.collector.Len(), 0.0
	if cells := n * r.collector.Schema().Dim(); cells > collectedMost*5/4 || cells < collectedMost/3 {
		t.Errorf("%d features are kept of %d groups after four hours, want no more than about %d, and not far fewer",
			cells, groups, collectedMost)
	}
	for _, sec := range r.seconds {
		seconds += sec
	}
	if len(r.seconds) != n || seconds != 3*intervals {
		t.Errorf("%d intervals stand for %.0f s and %d were kept, want %d s", len(r.seconds), seconds, n, 3*intervals)
	}
	if rows := r.collector.Thin(min(fitIntervals, fitCells/r.collector.Schema().Dim())).Len(); rows > 240 {
		t.Errorf("a model is fitted to %d intervals of %d features, want at most 240", rows, r.collector.Schema().Dim())
	}
}
