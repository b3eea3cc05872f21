package arena

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/objective"
	"trimtab/rival"
	"trimtab/vts"
	"trimtab/weights"
)

// shortWorld is capacity-1-2-4 in half a minute, ten intervals.
func shortWorld(t *testing.T) *deathstarbench.Scenario {
	t.Helper()
	sc, err := deathstarbench.Load("capacity-1-2-4")
	if err != nil {
		t.Fatal(err)
	}
	if err := sc.Shorten(30*time.Second, 9*time.Second); err != nil {
		t.Fatal(err)
	}
	return sc
}

// tinyDQN makes learners small enough for a test.
func tinyDQN(s rival.Shape, targets map[string]objective.Target, seed uint64) (rival.Trainee, error) {
	return rival.TrainDQN(s, rival.DQNConfig{Hidden: []int{8}, Batch: 8, WarmUp: 60, Decay: 200, Targets: targets,
		Seed: seed})
}

func trainConfig(t *testing.T, dir string) TrainConfig {
	return TrainConfig{Scenario: shortWorld(t), Kind: rival.KindDQN, New: tinyDQN, Seeds: []uint64{4}, Episodes: 24,
		Every: 6, Plays: 1, Checkpoints: dir}
}

func TestTrainingGoesOnWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	cache := NewOracleCache(t.TempDir())
	whole, err := Train(t.Context(), trainConfig(t, ""), cache)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := trainConfig(t, dir)
	c.OnPoint = func(_ uint64, p CurvePoint) {
		if p.Episode == 12 {
			cancel()
		}
	}
	if _, err := Train(ctx, c, cache); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(),
		"interrupted after") {
		t.Fatalf("interrupted: got %v, want context.Canceled", err)
	}
	resumed, err := Train(t.Context(), trainConfig(t, dir), cache)
	if err != nil {
		t.Fatal(err)
	}
	a, b := whole.Model.Nets, resumed.Model.Nets
	for name := range a {
		if !slices.Equal(a[name].Params, b[name].Params) {
			t.Errorf("network %s: interrupted and gone on with is not what uninterrupted gives", name)
		}
	}
	scores := func(p []CurvePoint) (out []float64) {
		for _, v := range p {
			out = append(out, v.Score)
		}
		return out
	}
	if x, y := scores(whole.Curves[0].Points), scores(resumed.Curves[0].Points); !slices.Equal(x, y) || len(x) == 0 {
		t.Errorf("curves: got %v and %v, want the same", x, y)
	}
	if whole.Equal.Score <= whole.Oracle.Score {
		t.Errorf("scores of equal weights and of the best static ones: got %v and %v, want the first to be worse",
			whole.Equal.Score, whole.Oracle.Score)
	}
	png, err := whole.Plot(rival.KindDQN, "short")
	if err != nil || !bytes.HasPrefix(png, []byte("\x89PNG")) {
		t.Errorf("plot of the learning curves: got %d bytes, %v", len(png), err)
	}

	other := trainConfig(t, dir)
	other.Scenario.Servers[0].Slots++
	if _, err := Train(t.Context(), other, cache); err == nil || !strings.Contains(err.Error(), "another scenario") {
		t.Errorf("a checkpoint of another scenario: got %v, want to be told", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.checkpoint"))
	if err != nil || len(files) != 1 {
		t.Fatalf("checkpoints: got %v, %v, want one", files, err)
	}
	if err := os.WriteFile(files[0], []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Train(t.Context(), trainConfig(t, dir), cache); err == nil || !strings.Contains(err.Error(),
		"delete it") {
		t.Errorf("a checkpoint that cannot be read: got %v, want to be told what to do", err)
	}
}

func TestTrainingEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*TrainConfig)
		want   string
	}{
		{"when all episodes were played", func(*TrainConfig) {}, "all episodes"},
		{"when evaluations are no better any more", func(c *TrainConfig) {
			c.Episodes, c.Patience = 10_000, 2
		}, "no better"},
		{"when time is up", func(c *TrainConfig) {
			c.Episodes, c.Every, c.Patience, c.Budget = 1_000_000, 1, 1_000_000, time.Second
		}, "time is up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := trainConfig(t, "")
			config.New = func(s rival.Shape, targets map[string]objective.Target, seed uint64) (rival.Trainee, error) {
				return &idle{shape: s}, nil
			}
			c.change(&config)
			got, err := Train(t.Context(), config, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(got.Curves[0].Stopped, c.want) {
				t.Errorf("ended because %q, want %q", got.Curves[0].Stopped, c.want)
			}
		})
	}
}

// idle is a trainee that holds.
type idle struct {
	rival.Hold
	rival.Trainee
	shape rival.Shape
	steps int
}

func (i *idle) Choose() control.Decision            { i.steps++; return control.Decision{} }
func (i *idle) Observe(s vts.Sample, w weights.Set) { i.Hold.Observe(s, w) }
func (i *idle) Committed(control.Receipt)           {}
func (i *idle) Begin()                              {}
func (i *idle) Err() error                          { return nil }
func (i *idle) Steps() int                          { return i.steps }
func (i *idle) Player() (control.Policy, error)     { return &rival.Hold{}, nil }
func (i *idle) Model() (*rival.Model, error) {
	return &rival.Model{Version: rival.ModelVersion, Kind: rival.KindDQN, Shape: i.shape}, nil
}

func TestModelsArePlayedWhereTheyWereTrained(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	trained, err := Train(t.Context(), trainConfig(t, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	models := Models{Dir: dir}
	if err := trained.Model.Save(models.Path(rival.KindDQN, "capacity-1-2-4", "")); err != nil {
		t.Fatal(err)
	}
	sc := shortWorld(t)
	other := *sc
	other.Servers = slices.Clone(sc.Servers)
	other.Upstreams = slices.Clone(sc.Upstreams)
	other.Upstreams[0].Servers, other.Upstreams[0].Weights = []string{"a", "b"}, []int{1, 1}
	policies, err := ParsePolicies("dqn", models.Choosers())
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	if err := Play(t.Context(), Config{Scenarios: []*deathstarbench.Scenario{sc}, Policies: policies,
		Seeds: []uint64{1},
		OnRow: func(r Row, _ *Trace) error { rows = append(rows, r); return nil }}); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || rows[0].Requests == 0 || math.IsNaN(rows[0].ARTPerRequest) {
		t.Errorf("rows of the model: got %+v", rows)
	}
	for _, c := range []struct {
		name, want string
		c          Case
	}{
		{"a world with a server less is refused", "model of something else", Case{Scenario: &other}},
		{"a method it was not trained for is refused", "has not been trained",
			Case{Scenario: sc, Method: "least_conn"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := policies[0].New(t.Context(), c.c); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestBandsAreOfLogarithms(t *testing.T) {
	curve := func(best float64, scores ...float64) Curve {
		c := Curve{Best: CurvePoint{Score: best}}
		for i, s := range scores {
			c.Points = append(c.Points, CurvePoint{Episode: 20 * (i + 1), Score: s})
		}
		return c
	}
	got := Bands([]Curve{curve(1, 100, 1), curve(0.01, 1)})
	if len(got) != 2 || got[1].Episode != 40 {
		t.Fatalf("got %+v, want a band at episodes 20 and 40", got)
	}
	for i, want := range []float64{10, 0.1} { // geometric means; the second curve has ended with its best score
		e := got[i].Score
		if math.Abs(e.Mean/want-1) > 1e-9 || !(e.Low > 0 && e.Low < e.Mean && e.Mean < e.High) {
			t.Errorf("band %d: got %+v, want a mean of %v within its interval above 0", i, e, want)
		}
	}
}

// noting keeps the weights that a run begins with.
type noting struct {
	control.Fixed
	began *weights.Set
}

func (n *noting) Observe(_ vts.Sample, w weights.Set) {
	if *n.began == nil {
		*n.began = w
	}
}

func TestEveryOtherEvaluationBeginsFromRandomWeights(t *testing.T) {
	t.Parallel()
	sc := shortWorld(t)
	deadlines, err := Deadlines(sc)
	if err != nil {
		t.Fatal(err)
	}
	trainer := &trainer{c: TrainConfig{Scenario: sc}, deadlines: deadlines}
	evaluate := func() []weights.Set {
		began := make([]weights.Set, 4)
		next := 0
		if _, err := trainer.evaluate(t.Context(), 0, len(began), func(uint64) (control.Policy, error) {
			next++
			return &noting{began: &began[next-1]}, nil
		}); err != nil {
			t.Fatal(err)
		}
		return began
	}
	first, second := evaluate(), evaluate()
	name := sc.Upstreams[0].Name
	if !first[0][name].Equal(first[2][name]) || first[0][name].Equal(first[1][name]) ||
		first[1][name].Equal(first[3][name]) {
		t.Errorf("got %v, want the scenario's, random, the scenario's and other random weights", first)
	}
	for i := range first {
		if !first[i].Equal(second[i]) {
			t.Errorf("run %d, once more: got %v, want %v again", i, second[i], first[i])
		}
	}
}
