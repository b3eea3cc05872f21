package prove

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/vts"
)

var morning = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// lab plays an experiment against made-up servers: lognormal response times of the given means in ms.
type lab struct {
	x        *Experiment
	now      time.Time
	rng      *rand.Rand
	means    map[Arm]float64
	perSec   float64
	errs     map[Arm]float64
	interval time.Duration
}

func newLab(p Plan, operator, tuned float64) *lab {
	return &lab{x: New(p, 11, morning), now: morning, rng: rand.New(rand.NewPCG(3, 4)),
		means:  map[Arm]float64{Operator: operator, Tuned: tuned},
		perSec: 50, interval: 3 * time.Second}
}

var bounds = []float64{1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000, 2000, 5000, 10000}

// step plays one interval and returns what became of it.
func (l *lab) step() News {
	l.now = l.now.Add(l.interval)
	p := vts.PeerSample{Server: "a", Known: true, BucketsMsec: bounds, Buckets: make([]uint64, len(bounds))}
	drift := 1 + 0.3*math.Sin(float64(l.now.Sub(morning))/float64(time.Hour))
	for range int(l.perSec * l.interval.Seconds()) {
		t := l.means[l.x.Arm()] * drift * math.Exp(0.5*l.rng.NormFloat64()-0.125)
		p.Requests++
		p.ResponseMsec += uint64(t)
		for i, b := range bounds {
			if t <= b {
				p.Buckets[i]++
			}
		}
		if l.rng.Float64() < l.errs[l.x.Arm()] {
			p.Responses[4]++
		}
	}
	news := l.x.Observe(l.now, vts.Sample{At: l.now, Interval: l.interval,
		Groups: []vts.GroupSample{{Name: "app", Peers: []vts.PeerSample{p}}}}, 0.5)
	if news.Switch && !l.x.Ended() {
		l.x.Begin(l.now)
	}
	return news
}

// play goes on until the experiment ends, or for the time given.
func (l *lab) play(t *testing.T, most time.Duration) {
	t.Helper()
	for end := l.now.Add(most); !l.x.Ended() && l.now.Before(end); {
		l.step()
	}
}

var short = Plan{Block: time.Minute, WashOut: 9 * time.Second, Duration: time.Hour, LeastRequests: 500}

func TestExperimentEnds(t *testing.T) {
	for _, c := range []struct {
		name            string
		plan            func(*Plan)
		operator, tuned float64
		perSec          float64
		errs            map[Arm]float64
		want            Verdict
		says            string
	}{
		{"when tuned weights are clearly better", nil, 60, 40, 50, nil, Better, "tuned weights are better: p99 "},
		{"when tuned weights are clearly worse", nil, 40, 50, 50, nil, Worse, "tuned weights are worse: p99 "},
		{"at its time when there is no difference", nil, 40, 40, 50, nil, None, "no difference was found: p99 "},
		{"with too little traffic, and says so", nil, 40, 40, 0.5, nil, TooFew, "nothing can be said yet"},
		{"by the guard when tuned weights are three times as slow", nil, 40, 400, 50, nil, Worse,
			"the guard broke off two blocks"},
		{"by the guard when tuned weights bring errors", nil, 40, 40, 50, map[Arm]float64{Tuned: 0.2}, Worse,
			"the guard broke off two blocks"},
		{"by the mean", func(p *Plan) { p.Measure = Mean }, 60, 40, 50, nil, Better, "mean response "},
		{"by the tardiness", func(p *Plan) { p.Measure, p.Deadlines = ART, map[string]float64{"app": 60} }, 60, 40,
			50, nil, Better, "ART"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := short
			if c.plan != nil {
				c.plan(&p)
			}
			l := newLab(p, c.operator, c.tuned)
			l.perSec, l.errs = c.perSec, c.errs
			l.play(t, 3*time.Hour)
			r := l.x.Result()
			if l.x.Over != c.want || r.Verdict != c.want || !strings.Contains(r.Headline(), c.says) {
				t.Fatalf("got %q: %s, want %q: %s\n%s", l.x.Over, r.Headline(), c.want, c.says, r.Text())
			}
			if want := map[bool]Arm{true: Operator, false: Tuned}[c.want == Worse]; l.x.Arm() != want {
				t.Errorf("afterwards the weights are the %s ones, want the %s ones", l.x.Arm(), want)
			}
			if l.now.Sub(morning) > time.Hour+5*time.Minute {
				t.Errorf("ended after %v, want an hour and a block at most", l.now.Sub(morning))
			}
		})
	}
}

// Both arms have the same number of blocks in every hour, give or take the pair under way, and the order is not always
// the same.
func TestOrderOfArmsIsBalanced(t *testing.T) {
	p := short
	p.Duration, p.LeastPairs = 20*time.Hour, 1000
	l := newLab(p, 40, 40)
	l.perSec = 10
	l.play(t, 21*time.Hour)
	first := map[int]map[Arm]int{}
	for _, pair := range l.x.Stages[0].Pairs {
		h := pair.First.From.Hour()
		if first[h] == nil {
			first[h] = map[Arm]int{}
		}
		first[h][pair.First.Arm]++
	}
	if len(first) < 20 {
		t.Fatalf("pairs in %d hours, want 20", len(first))
	}
	openings := map[Arm]int{}
	for h, n := range first {
		if d := n[Operator] - n[Tuned]; d < -2 || d > 2 {
			t.Errorf("hour %d: %d pairs begin with the operator's weights, %d with tuned ones", h, n[Operator],
				n[Tuned])
		}
	}
	for _, pair := range l.x.Stages[0].Pairs {
		openings[pair.First.Arm]++
	}
	if openings[Operator] == 0 || openings[Tuned] == 0 {
		t.Errorf("openings: %v, want both", openings)
	}
}

// What is written and read back goes on with the pair under way, and finds the same.
func TestRestartGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "prove.json")
	l := newLab(short, 60, 40)
	for restarts := 0; !l.x.Ended(); restarts++ {
		l.play(t, 100*time.Second)
		if err := (&File{Experiment: l.x, In: Tuned}).Write(path); err != nil {
			t.Fatal(err)
		}
		f, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if f.In != Tuned {
			t.Fatalf("arm in force: got %q", f.In)
		}
		if l.x = f.Experiment; !l.x.Ended() {
			l.now = l.now.Add(10 * time.Minute) // the daemon was away
			l.x.Resume(l.now)
		}
		if restarts > 100 {
			t.Fatal("a hundred restarts, and no end")
		}
	}
	r := l.x.Result()
	if r.Verdict != Better || l.x.Restarts < 5 {
		t.Errorf("after %d restarts: %s", l.x.Restarts, r.Text())
	}
	for _, p := range r.Stages[0].Pairs {
		if p.First.Seconds < 50 || p.Second.Seconds < 50 {
			t.Errorf("a block that a restart cut off counts: %v and %v s", p.First.Seconds, p.Second.Seconds)
		}
	}
}

func TestOperatorsEditBeginsAStage(t *testing.T) {
	l := newLab(short, 60, 40)
	l.play(t, 11*time.Minute)
	before := len(l.x.Stages[0].whole())
	if before < 2 || l.x.Ended() {
		t.Fatalf("%d pairs before the edit, ended %t", before, l.x.Ended())
	}
	news := l.x.Edited(l.now, "the operator changed weights")
	if !news.Switch || len(l.x.Stages) != 2 || l.x.stage().open() != nil {
		t.Fatalf("got %+v and %d stages", news, len(l.x.Stages))
	}
	l.means[Operator] = 40 // what the operator changed was right
	l.play(t, 2*time.Hour)
	r := l.x.Result()
	if r.Verdict != None || len(r.Earlier) != 1 || r.Earlier[0].Pairs != before || r.Earlier[0].Change > -0.1 {
		t.Errorf("got %s", r.Text())
	}
	if !strings.Contains(r.Text(), "the operator changed weights") {
		t.Errorf("the report does not name the edit: %s", r.Text())
	}
}

func TestClockThatJumpsVoidsTheBlock(t *testing.T) {
	l := newLab(short, 60, 40)
	l.play(t, 40*time.Second)
	l.interval = 2 * time.Hour
	elapsed := l.x.Elapsed
	l.perSec = 0.1
	l.step()
	if n := len(l.x.stage().Voids); n != 1 || l.x.Elapsed != elapsed {
		t.Fatalf("%d voids, %v s more, want one and none", n, l.x.Elapsed-elapsed)
	}
	l.interval, l.perSec = 3*time.Second, 50
	l.play(t, 2*time.Hour)
	if l.x.Over != Better {
		t.Errorf("it does not go on: %s", l.x.Result().Text())
	}
	if news := l.x.Observe(l.now, vts.Sample{Interval: -time.Second}, 0); news != (News{}) {
		t.Errorf("time that runs back: got %+v", news)
	}
}

func TestHeldBlocksAreMeasuredAgain(t *testing.T) {
	l := newLab(short, 60, 40)
	l.play(t, 30*time.Second)
	arm := l.x.Arm()
	if news := l.x.Void(l.now, "changes are held: hold file"); !news.Switch || l.x.Arm() != arm {
		t.Errorf("got %+v and %s, want the same arm again", news, l.x.Arm())
	}
	l.x.Stop(l.now)
	if r := l.x.Result(); r.Verdict != Stopped || !strings.Contains(r.Text(), "hold file") {
		t.Errorf("got %s", r.Text())
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"what is no JSON", "x"},
		{"another format", `{"format":"x"}`},
		{"no stage", `{"format":"trimtab prove 1","stages":[]}`},
		{"arms that are none", `{"format":"trimtab prove 1","stages":[{"pairs":[{"first":{"arm":"x"}}]}]}`},
		{"two blocks of one arm",
			`{"format":"trimtab prove 1","stages":[{"pairs":[{"first":{"arm":"tuned"},"second":{"arm":"tuned"}}]}]}`},
		{"half a pair in the middle",
			`{"format":"trimtab prove 1","stages":[{"pairs":[{"first":{"arm":"tuned"}},{"first":{"arm":"tuned"}}]}]}`},
		{"a plan that is none", `{"format":"trimtab prove 1","plan":{"measure":"x"},"stages":[{}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f, err := Parse([]byte(c.text)); err == nil {
				t.Errorf("got %+v, want an error", f)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	l := newLab(short, 60, 40)
	for range 80 {
		l.step()
	}
	text, err := json.Marshal(File{Experiment: l.x})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := Parse(text)
		if err != nil {
			return
		}
		x.Resume(morning)
		_ = x.Result().Text()
		x.Begin(morning)
		x.Stop(morning)
	})
}

func TestOrdersAreTakenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "order.json")
	if err := (Order{Begin: &Plan{Block: time.Minute, WashOut: time.Second}}).Give(path); err != nil {
		t.Fatal(err)
	}
	o, err := TakeOrder(path)
	if err != nil || o == nil || o.Begin == nil || o.Begin.Block != time.Minute {
		t.Fatalf("got %+v, %v", o, err)
	}
	if o, err := TakeOrder(path); o != nil || err != nil {
		t.Errorf("again: got %+v, %v", o, err)
	}
}
