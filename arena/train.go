package arena

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/objective"
	"trimtab/rival"
	"trimtab/weights"
)

// NewTrainee makes a learner that knows nothing.
type NewTrainee func(s rival.Shape, targets map[string]objective.Target, seed uint64) (rival.Trainee, error)

// TrainConfig says what Train trains. The zero value of a field means its default.
type TrainConfig struct {
	Scenario *deathstarbench.Scenario
	Method   string // balancing method; empty: the scenario's
	Kind     string // name of the policy
	New      NewTrainee
	Hosts    bool     // learners see what servers' machines say too
	Seeds    []uint64 // one learner each
	Episodes int      // at most, of each learner; default 800
	Every    int      // episodes between two evaluations; default 20
	// Patience is how many evaluations without a better one end the training of a learner; default 15.
	Patience int
	// Plays are the runs of an evaluation, with seeds that neither training nor the arena use; default 3. Every other
	// one begins from random weights: a learner that does not come back from afar is seen.
	Plays    int
	Budget   time.Duration // of each learner, from the start or from where it went on; 0: none
	Parallel int           // learners at once; default 1
	Sim      SimOptions
	// Checkpoints is the folder in which what is unfinished is kept, and gone on with; empty: nowhere.
	Checkpoints string
	OnPoint     func(seed uint64, p CurvePoint) // told of every evaluation, one at a time
}

// CurvePoint is one evaluation of a learner in training.
type CurvePoint struct {
	Episode int     `json:"episode"`
	Steps   int     `json:"steps"`
	Score   float64 `json:"score"` // ART per request and a hundredth of the mean response in deadlines: less is better
	P99MS   float64 `json:"p99_ms"`
	Seconds float64 `json:"seconds"` // since the training began, evaluations included
}

// Curve is the training of one learner.
type Curve struct {
	Seed    uint64       `json:"seed"`
	Points  []CurvePoint `json:"points"`
	Stopped string       `json:"stopped"` // why it ended
	Best    CurvePoint   `json:"best"`
	// StepsPerSec are intervals played and learned from per second of training, evaluations left out.
	StepsPerSec float64 `json:"steps_per_s"`
	model       *rival.Model
}

// Training is what Train found.
type Training struct {
	Curves []Curve
	Model  *rival.Model // the best of all learners
	// Equal and Oracle are the scores of equal weights and of the best static weights on the evaluations' seeds.
	Equal, Oracle CurvePoint
}

func (c *TrainConfig) complete() {
	fill := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	fill(&c.Episodes, 800)
	fill(&c.Every, 20)
	fill(&c.Patience, 15)
	fill(&c.Plays, 3)
	fill(&c.Parallel, 1)
}

// Train trains one learner for each seed on a scenario in the simulator and keeps the best model of all. When the
// context is cancelled the learners' checkpoints are written first. Without a cache the best static weights are not
// sought.
func Train(ctx context.Context, c TrainConfig, cache *OracleCache) (*Training, error) {
	c.complete()
	if len(c.Seeds) == 0 {
		return nil, errors.New("train: no seeds")
	}
	if err := checkScenario(c.Scenario); err != nil {
		return nil, err
	}
	deadlines, err := Deadlines(c.Scenario)
	if err != nil {
		return nil, err
	}
	t := &trainer{c: c, deadlines: deadlines, targets: map[string]objective.Target{}, shape: ShapeOf(c.Scenario)}
	t.shape.Hosts = c.Hosts
	for _, u := range c.Scenario.Upstreams {
		t.targets[u.Name] = objective.Target{Deadline: deadlines[u.Name], Priority: u.Priority}
	}
	out := &Training{Curves: make([]Curve, len(c.Seeds))}
	choosers := Choosers(cache)
	for name, at := range map[string]*CurvePoint{"equal": &out.Equal, "oracle": &out.Oracle} {
		if name == "oracle" && cache == nil {
			continue
		}
		if *at, err = t.reference(ctx, choosers[name]); err != nil {
			return nil, fmt.Errorf("train: play %s: %w", name, err)
		}
	}
	told := make(chan struct{}, 1)
	told <- struct{}{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.Parallel)
	for i, seed := range c.Seeds {
		group.Go(func() (err error) {
			out.Curves[i], err = t.learner(ctx, seed, func(p CurvePoint) {
				if c.OnPoint != nil {
					<-told
					c.OnPoint(seed, p)
					told <- struct{}{}
				}
			})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return out, err
	}
	for i := range out.Curves {
		if m := out.Curves[i].model; m != nil && (out.Model == nil || m.Trained.Score < out.Model.Trained.Score) {
			out.Model = m
		}
	}
	if out.Model == nil {
		return out, errors.New("train: nothing was learned: give it more episodes")
	}
	return out, nil
}

// ShapeOf is the shape of a scenario's world, as its samples will have it.
func ShapeOf(sc *deathstarbench.Scenario) rival.Shape {
	var s rival.Shape
	for _, u := range sc.Upstreams {
		s.Groups = append(s.Groups, rival.ShapeGroup{Name: u.Name, Servers: slices.Clone(u.Servers)})
	}
	slices.SortFunc(s.Groups, func(a, b rival.ShapeGroup) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// trainer is one Train.
type trainer struct {
	c         TrainConfig
	deadlines map[string]time.Duration
	targets   map[string]objective.Target
	shape     rival.Shape
}

// Seeds of training and of evaluations are far from those that arenas count from 1.
const (
	evaluationSeed = 0x6576616c
	episodeSeed    = 0x65706973
)

// widest is how far apart an episode's weights may be when it begins.
const widest = 8

// begin begins an episode. Every other one starts from the scenario's weights, the others from random ones, so that a
// learner has seen weights that it would not set.
func (t *trainer) begin(world *SimWorld, learner, episode uint64) error {
	rng := rand.New(rand.NewPCG(learner<<20^episode, episodeSeed))
	run := Run{Scenario: t.c.Scenario, Method: t.c.Method, Seed: rng.Uint64(), Deadlines: t.deadlines}
	if episode%2 == 1 {
		run.Initial = t.anyWeights(rng)
	}
	return world.Reset(context.Background(), run)
}

// anyWeights are random ones.
func (t *trainer) anyWeights(rng *rand.Rand) weights.Set {
	out := weights.Set{}
	for _, u := range t.c.Scenario.Upstreams {
		x := make([]float64, len(u.Servers))
		for i := range x {
			x[i] = math.Exp(rng.Float64() * math.Log(widest))
		}
		out[u.Name] = settingsOf(u.Servers, weights.Quantise(x))
	}
	return out
}

// play plays a policy until the end of what the world was reset to.
func (t *trainer) play(ctx context.Context, world *SimWorld, p control.Policy) error {
	loop := Loop{World: world, Policy: p, Scenario: t.c.Scenario}
	for {
		iv, _, err := loop.Step(ctx)
		if err != nil {
			return err
		}
		if iv.Done {
			return nil
		}
	}
}

// evaluate plays policies of the maker, one for each of plays seeds of evaluation from the first-th on.
func (t *trainer) evaluate(ctx context.Context, first, plays int,
	make func(seed uint64) (control.Policy, error)) (p CurvePoint, err error) {
	world := NewSimWorld(t.c.Sim)
	for i := range plays {
		seed := uint64(evaluationSeed + first + i)
		policy, err := make(seed)
		if err != nil {
			return p, err
		}
		run := Run{Scenario: t.c.Scenario, Method: t.c.Method, Seed: seed, Deadlines: t.deadlines}
		if i%2 == 1 {
			run.Initial = t.anyWeights(rand.New(rand.NewPCG(seed, episodeSeed)))
		}
		if s, ok := policy.(Starter); ok {
			run.Initial = s.Initial()
		}
		if err := world.Reset(ctx, run); err != nil {
			return p, err
		}
		if err := t.play(ctx, world, policy); err != nil {
			return p, err
		}
		r, err := world.Results(ctx)
		if err != nil {
			return p, err
		}
		p.Score += r.cost(t.deadlines) / float64(plays)
		p.P99MS += msec(r.Latency.Quantile(0.99)) / float64(plays)
	}
	return p, nil
}

func (t *trainer) reference(ctx context.Context, make NewPolicy) (CurvePoint, error) {
	return t.evaluate(ctx, 0, t.c.Plays, func(seed uint64) (control.Policy, error) {
		return make(ctx, Case{Scenario: t.c.Scenario, Method: t.c.Method, Seed: seed, Deadlines: t.deadlines})
	})
}

// learner trains one learner, or goes on with it.
func (t *trainer) learner(ctx context.Context, seed uint64, tell func(CurvePoint)) (Curve, error) {
	student, err := t.c.New(t.shape, t.targets, seed)
	if err != nil {
		return Curve{}, err
	}
	s := &trainingState{Seed: seed}
	if err := t.restore(s, student); err != nil {
		return Curve{}, err
	}
	began, before, learning := time.Now(), s.Seconds, 0.0
	from := student.Steps()
	world := NewSimWorld(t.c.Sim)
	for s.Stopped == "" {
		if s.Episode >= t.c.Episodes {
			s.Stopped = "all episodes were played"
			break
		}
		if t.c.Budget > 0 && time.Since(began) > t.c.Budget {
			s.Stopped = "time is up"
			break
		}
		if ctx.Err() != nil {
			s.Seconds = before + time.Since(began).Seconds()
			return s.curve(), errors.Join(fmt.Errorf("train %s: interrupted after %d episodes, seed %d: %w", t.c.Kind,
				s.Episode, seed, ctx.Err()),
				t.save(s, student))
		}
		start := time.Now()
		student.Begin()
		if err := t.begin(world, seed, uint64(s.Episode)); err != nil {
			return s.curve(), err
		}
		// An episode is some milliseconds long: it is played to its end, so that a checkpoint lies between two.
		if err := t.play(context.WithoutCancel(ctx), world, student); err != nil {
			return s.curve(), err
		}
		if err := student.Err(); err != nil {
			return s.curve(), err
		}
		learning += time.Since(start).Seconds()
		s.Episode++
		if s.Episode%t.c.Every != 0 {
			continue
		}
		s.Seconds = before + time.Since(began).Seconds()
		if err := t.judge(context.WithoutCancel(ctx), s, student, tell); err != nil {
			return s.curve(), err
		}
		if err := t.save(s, student); err != nil {
			return s.curve(), err
		}
	}
	s.Seconds = before + time.Since(began).Seconds()
	c := s.curve()
	if learning > 0 {
		c.StepsPerSec = float64(student.Steps()-from) / learning
	}
	return c, t.save(s, student)
}

// confirmations are how many times as many plays a model has to stand, on further seeds, before it counts as the best:
// of many evaluations by few plays the best are those that were lucky.
const confirmations = 4

// judge evaluates a learner and keeps its model when it is the best so far.
func (t *trainer) judge(ctx context.Context, s *trainingState, student rival.Trainee, tell func(CurvePoint)) error {
	player, err := student.Player()
	if err != nil {
		return err
	}
	if player == nil { // still collecting
		return nil
	}
	// The same player goes through all runs, as one in operation would.
	same := func(uint64) (control.Policy, error) { return player, nil }
	p, err := t.evaluate(ctx, 0, t.c.Plays, same)
	if err != nil {
		return err
	}
	p.Episode, p.Steps, p.Seconds = s.Episode, student.Steps(), s.Seconds
	s.Points = append(s.Points, p)
	tell(p)
	better := s.Best.Episode == 0 || p.Score < s.Best.Score
	if better {
		more, err := t.evaluate(ctx, t.c.Plays, confirmations*t.c.Plays, same)
		if err != nil {
			return err
		}
		p.Score = (p.Score + confirmations*more.Score) / (1 + confirmations)
		p.P99MS = (p.P99MS + confirmations*more.P99MS) / (1 + confirmations)
		better = s.Best.Episode == 0 || p.Score < s.Best.Score
	}
	if better {
		m, err := student.Model()
		if err != nil {
			return err
		}
		m.Trained = rival.Trained{Scenario: t.c.Scenario.Name, Method: t.c.Method, Seed: s.Seed, Steps: p.Steps,
			Episodes: p.Episode,
			Seconds:  p.Seconds, Score: p.Score}
		s.Best, s.model, s.Since = p, m, 0
		return nil
	}
	if s.Since++; s.Since >= t.c.Patience {
		s.Stopped = fmt.Sprintf("no better evaluation in %d", t.c.Patience)
	}
	return nil
}
