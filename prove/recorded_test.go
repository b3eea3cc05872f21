package prove

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"trimtab/vts"
)

// record is a recording of so many seconds in which the weights are those that at says, and response times follow.
func record(seconds int, at func(second int) (weight int, responseMS uint64)) *bytes.Buffer {
	var out bytes.Buffer
	st := vts.Status{NginxVer: "1.22.1", ModuleVer: "v0.2.2",
		Upstreams: []vts.Upstream{{Name: "app", Peers: []vts.Peer{{Server: "a:80", Weight: 1},
			{Server: "b:80", Weight: 1}}}}}
	for i := range seconds {
		w, ms := at(i)
		st.At = morning.Add(time.Duration(i) * time.Second)
		st.NowMsec, st.LoadMsec = st.At.UnixMilli(), morning.UnixMilli()
		for j := range st.Upstreams[0].Peers {
			p := &st.Upstreams[0].Peers[j]
			p.Requests += 30
			p.Responses[1] += 30
			p.ResponseMsec += 30 * (ms + uint64(i%3))
		}
		st.Upstreams[0].Peers[1].Weight = w
		out.Write(vts.AppendRecord(nil, &st))
	}
	return &out
}

func TestRecordedStatistics(t *testing.T) {
	p := Plan{Block: 30 * time.Second, WashOut: 5 * time.Second, Duration: time.Hour, Measure: Mean, LeastRequests: 100}
	for _, c := range []struct {
		name    string
		seconds int
		at      func(int) (int, uint64)
		verdict Verdict
		pairs   int
		says    string
	}{
		{"weights that changed to and fro", 800, func(i int) (int, uint64) {
			if i/40%2 == 1 {
				return 3, 20
			}
			return 1, 30 + uint64(i/200)
		}, Better, 10, "Nobody drew the order"},
		{"one change is no experiment", 400, func(i int) (int, uint64) {
			if i > 200 {
				return 3, 20
			}
			return 1, 30
		}, TooFew, 1, "1 of at least 5 pairs"},
		{"weights that never changed", 300, func(int) (int, uint64) { return 1, 30 }, TooFew, 0, "no pair of blocks"},
		{"spans that are too short for a block", 300, func(i int) (int, uint64) { return 1 + i/8%2, 30 }, TooFew, 0,
			"no pair of blocks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := Recorded(vts.NewFile("stats.ndjson", record(c.seconds, c.at)), p, nil)
			if err != nil {
				t.Fatal(err)
			}
			r := x.Result()
			if r.Verdict != c.verdict || len(r.Stages[0].Pairs) != c.pairs || !strings.Contains(r.Text(), c.says) {
				t.Errorf("got %s, %d pairs, want %s, %d\n%s", r.Verdict, len(r.Stages[0].Pairs), c.verdict, c.pairs,
					r.Text())
			}
		})
	}
	if _, err := Recorded(vts.NewFile("empty", strings.NewReader("")), p, nil); err == nil {
		t.Error("an empty recording: got no error")
	}
}

func TestPowerBeforehand(t *testing.T) {
	p := Plan{Block: 30 * time.Second, WashOut: 5 * time.Second, Duration: time.Hour, Measure: Mean, LeastRequests: 100}
	got, err := Ahead(vts.NewFile("stats.ndjson", record(900, func(i int) (int, uint64) {
		return 1, 30 +
			uint64(i*i%7)
	})), p)
	if err != nil {
		t.Fatal(err)
	}
	if got.Pairs < 10 || got.Needed < 2 || got.Hours <= 0 || got.Sees <= 0 || got.Sees >= 1 {
		t.Errorf("got %+v", got)
	}
	if text := got.Words(Effect{Measure: Mean, Relative: true}); !strings.Contains(text,
		"to see 5 % of mean response takes about") {
		t.Errorf("got %q", text)
	}
	if _, err := Ahead(vts.NewFile("stats.ndjson", record(60, func(int) (int, uint64) { return 1, 30 })),
		p); err == nil {
		t.Error("a minute of statistics: got no error")
	}
}

// The pairs that an estimate asks for are enough in four of five experiments.
func TestPowerIsWhatItSays(t *testing.T) {
	p := Plan{}.WithDefaults()
	const sd, effect = 0.1, 0.05
	got := powerOf(p, sd, 10, effect, false)
	if got.Needed < 20 || got.Needed > 200 {
		t.Fatalf("got %+v", got)
	}
	if half := (sequence(got.Needed, p.Alpha) + fourInFive) * sd; half > effect*1.0001*math.Sqrt(float64(got.Needed)) {
		t.Errorf("%d pairs do not see %v", got.Needed, effect)
	}
}
