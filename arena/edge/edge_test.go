package edge

import (
	"math"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// alone is a world of one server and one client in two regions, of constant everything.
func alone() *World {
	return &World{Name: "alone", Duration: Duration(100e9), Regions: []string{"here", "there"}, Delay: [][]float64{{0, 2}, {2, 0}}, Network: true,
		Servers: []Server{{"s", "there", 1, []Model{{"m", Duration(1e6), 0.8}}}},
		Clients: []Client{{Region: "here", Rate: 1, MB: [2]float64{1, 1}, Within: [2]float64{3, 3}, Accuracy: [2]float64{0.5, 0.5}}}}
}

// builtIn is the built-in world.
func builtIn(t *testing.T) *World {
	t.Helper()
	w, err := Load(EdgeCloud)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// always places every request alike, and remembers what became of them.
type always struct {
	place Place
	seen  []Outcome
}

func (a *always) Place(*Request, []int) Place { return a.place }
func (a *always) Done(o *Outcome)             { a.seen = append(a.seen, *o) }

func TestScoreIsAsItWasDefined(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*World)
		deny   bool
		want   float64
	}{
		{"timely and correct is 1", func(*World) {}, false, 1},
		{"only correct is 0.7", func(w *World) { w.Clients[0].Within = [2]float64{1, 1} }, false, 0.7},
		{"only timely is 0.3", func(w *World) { w.Clients[0].Accuracy = [2]float64{0.9, 0.9} }, false, 0.3},
		{"neither is −1", func(w *World) {
			w.Clients[0].Within, w.Clients[0].Accuracy = [2]float64{1, 1}, [2]float64{0.9, 0.9}
		}, false, -1},
		{"without the network all is timely", func(w *World) { w.Clients[0].Within, w.Network = [2]float64{1, 1}, false }, false, 1},
		{"a denied request counts 0", func(*World) {}, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := alone()
			c.change(w)
			p := &always{place: Place{Deny: c.deny}}
			s, err := w.Play(p, 1)
			if err != nil {
				t.Fatal(err)
			}
			if s.Requests < 50 || math.Abs(s.Value()-c.want) > 1e-12 {
				t.Errorf("score of %d requests: got %v, want %v", s.Requests, s.Value(), c.want)
			}
			if len(p.seen) != s.Requests-s.Denied {
				t.Errorf("the policy was told of %d answers of %d", len(p.seen), s.Requests-s.Denied)
			}
		})
	}
	if _, err := alone().Play(&always{place: Place{Server: 3}}, 1); err == nil {
		t.Error("a server that is not there: got no error")
	}
}

func TestWorldsInFilesAreChecked(t *testing.T) {
	const good = `
name = "w"
duration = "60s"
[[region]]
name = "a"
[[region]]
name = "b"
[[region]]
name = "c"
[[server]]
name = "s"
region = "a"
slots = 1
models = [{ name = "m", service = "100ms", quality = 0.9 }]
[[client]]
region = "b"
rate = 1
mb = [1, 2]
accuracy = [0.5, 0.9]
`
	w, err := Parse("w", good)
	if err != nil {
		t.Fatal(err)
	}
	if w.Delay[0][2] != 1 || w.Clients[0].Within != [2]float64{1, 10} || !w.Network {
		t.Errorf("what was left out: got %v, %v, %t, want the matrix as planned, 1 to 10 s, on", w.Delay, w.Clients[0].Within, w.Network)
	}
	for _, c := range []struct{ name, from, to, want string }{
		{"an unknown key", "slots = 1", "slots = 1\nslot = 2", "unknown key"},
		{"a region that is not there", `region = "b"`, `region = "z"`, `unknown region "z"`},
		{"no slots", "slots = 1", "slots = 0", "0 slots"},
		{"an accuracy above 1", "quality = 0.9", "quality = 9", "quality 9"},
		{"a range that falls", "mb = [1, 2]", "mb = [2, 1]", "not falling"},
		{"nothing comes", "rate = 1", "rate = 0", "nothing to place"},
		{"a matrix of another size", `duration = "60s"`, `duration = "60s"` + "\nnetwork = { delay = [[0, 1]] }",
			"for 3 regions"},
		{"no number", "rate = 1", "rate = nan", "want a finite number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse("w", strings.Replace(good, c.from, c.to, 1)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func FuzzWorlds(f *testing.F) {
	f.Add("duration = \"1s\"\n[[region]]\nname = \"a\"")
	f.Add(edgeCloud)
	f.Fuzz(func(t *testing.T, text string) {
		if w, err := Parse("fuzz", text); err == nil && w.Validate() != nil {
			t.Errorf("%q is parsed and not valid", text)
		}
	})
}

func TestWhoPredictsBeatsWhoDoesNot(t *testing.T) {
	w := builtIn(t)
	score := func(make func(seed uint64) Policy) float64 {
		sum := 0.0
		for seed := range uint64(4) {
			s, err := w.Play(make(seed), seed+1)
			if err != nil {
				t.Fatal(err)
			}
			sum += s.Value() / 4
		}
		return sum
	}
	random := score(func(seed uint64) Policy { return NewRandom(w, seed) })
	aware := score(func(uint64) Policy { return NewRegionAware(w) })
	ours := score(func(uint64) Policy { return NewBeliever(w) })
	if !(random < aware && aware < ours) {
		t.Errorf("scores: got random %.3f, region-aware %.3f, believer %.3f, want them in that order", random, aware, ours)
	}
}

func TestTheLearnerLearns(t *testing.T) {
	w := builtIn(t)
	l, err := NewLearner(w, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Train(360, 100); err != nil {
		t.Fatal(err)
	}
	got, err := w.Play(l, 1)
	if err != nil {
		t.Fatal(err)
	}
	chance, err := w.Play(NewRandom(w, 1), 1)
	if err != nil {
		t.Fatal(err)
	}
	if l.Steps() < 4000 || got.Value() < chance.Value()+0.2 {
		t.Errorf("score after six minutes, %d requests: got %.3f, want well above the %.3f of chance", l.Steps(), got.Value(), chance.Value())
	}
}

// The emulated world plays what the simulated one does: the same requests, servers and network.
func TestBothWorldsPlayAlike(t *testing.T) {
	w := builtIn(t)
	w.Duration = Duration(40e9)
	const scale = 0.05
	for name, network := range map[string]bool{"with a network": true, "with the network off": false} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.Network = network
			b, err := StartBackends(&w, scale)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}()
			want, err := w.Play(NewRegionAware(&w), 3)
			if err != nil {
				t.Fatal(err)
			}
			got, err := w.Emulate(t.Context(), NewRegionAware(&w), 3, b, scale)
			if err != nil {
				t.Fatal(err)
			}
			if got.Requests != want.Requests || got.Failed > 0 {
				t.Errorf("requests: got %d, %d failed, want %d, none failed", got.Requests, got.Failed, want.Requests)
			}
			if correct := func(s Score) int { return s.Both + s.OnlyCorrect }; math.Abs(float64(correct(got)-correct(want))) > 0.05*float64(want.Requests) {
				t.Errorf("correct answers: got %d, want about %d", correct(got), correct(want))
			}
			if got.MeanSec < 0.8*want.MeanSec { // a busy machine makes it slower, nothing makes it faster
				t.Errorf("mean: got %.3f s, want about %.3f s", got.MeanSec, want.MeanSec)
			}
			t.Logf("score: simulated %.3f, emulated %.3f; mean %.3f s and %.3f s", want.Value(), got.Value(), want.MeanSec, got.MeanSec)
		})
	}
}

func TestServersThatAreGoneFail(t *testing.T) {
	w := alone()
	w.Duration = Duration(2e9)
	b, err := StartBackends(w, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := w.Emulate(t.Context(), &always{}, 5, b, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	if s.Failed != s.Requests || s.Neither != s.Requests || s.Requests == 0 {
		t.Errorf("no server: got %+v, want every request neither", s)
	}
}
