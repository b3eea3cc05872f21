package rival

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"

	"trimtab/cluster"
	"trimtab/control"
	"trimtab/objective"
	"trimtab/vts"
	"trimtab/weights"
)

// TableConfig parameterises the learning of a Table. The zero value of a field means its default.
type TableConfig struct {
	Gamma   float64   // weight of the next state's value; default 0.9. Below 0 means 0
	Levels  ActionSet // the vectors that are tried; default levels 1, 3, 5
	Most    int       // vectors at most, drawn from all; default 32
	Hold    int       // intervals that a vector is kept; default 4: the first of them is mixed and counts for none
	Regimes int       // at most; their number is chosen by the Bayesian information criterion; default 6
	Targets map[string]objective.Target
	Seed    uint64
}

// TableTrainer plays vectors of weights at random, and counts what follows what.
type TableTrainer struct {
	control.Fixed
	cfg     TableConfig
	shape   Shape
	source  *rand.PCG
	rng     *rand.Rand
	choices []weights.Set
	at      int // choice in hand
	left    int // intervals that it is kept
	schema  cluster.Schema
	seen    tableHistory
	fresh   bool // the next interval begins an episode
}

// tableHistory is what was observed. Fields are exported for checkpoints.
type tableHistory struct {
	Features []float64 // by interval
	Rewards  []float64
	Steps    []cluster.Step // without their regimes
}

var _ Trainee = (*TableTrainer)(nil)

// TrainTable returns a trainer for worlds of the shape.
func TrainTable(s Shape, c TableConfig) (*TableTrainer, error) {
	if c.Levels.Kind == "" {
		c.Levels.Kind = ActLevels
	}
	c.Levels.complete()
	if c.Gamma == 0 {
		c.Gamma = 0.9
	}
	c.Gamma = max(c.Gamma, 0)
	if c.Most == 0 {
		c.Most = 32
	}
	if c.Hold == 0 {
		c.Hold = 4
	}
	if c.Regimes == 0 {
		c.Regimes = 6
	}
	if !(c.Gamma < 1) || c.Most < 1 || c.Hold < 2 || c.Regimes < 1 {
		return nil, fmt.Errorf("train table: gamma %v, %d vectors kept for %d intervals, %d regimes: want below 1, "+
			"at least 1, 2 and 1",
			c.Gamma, c.Most, c.Hold, c.Regimes)
	}
	if len(s.Groups) == 0 {
		return nil, errors.New("train table: a world without upstreams")
	}
	source := rand.NewPCG(c.Seed, 0x7461626c)
	t := &TableTrainer{cfg: c, shape: s, source: source, rng: rand.New(source), fresh: true, at: -1}
	t.choices = t.vectors()
	return t, nil
}

// vectors are the weights that are tried: groups of the same servers have the same ones.
func (t *TableTrainer) vectors() []weights.Set {
	var out []weights.Set
	seen := map[string]bool{}
	for tries := 0; tries < 40*t.cfg.Most && len(out) < t.cfg.Most; tries++ {
		set := weights.Set{}
		var drawn [][]weights.Weight
		for g, group := range t.shape.Groups {
			var w []weights.Weight
			for h, other := range t.shape.Groups[:g] {
				if slices.Equal(other.Servers, group.Servers) {
					w = drawn[h]
				}
			}
			if w == nil {
				x := make([]float64, len(group.Servers))
				for i := range x {
					x[i] = float64(t.cfg.Levels.Levels[t.rng.IntN(len(t.cfg.Levels.Levels))])
				}
				w = weights.Quantise(x)
			}
			drawn = append(drawn, w)
			set[group.Name] = weights.Group{}
			for i, server := range group.Servers {
				set[group.Name][server] = weights.Setting{Weight: w[i]}
			}
		}
		if key := fmt.Sprint(drawn); !seen[key] {
			seen[key] = true
			out = append(out, set)
		}
	}
	return out
}

// Begin implements Trainee.
func (t *TableTrainer) Begin() { t.fresh, t.left = true, 0 }

// Err implements Trainee.
func (t *TableTrainer) Err() error { return nil }

// Steps implements Trainee.
func (t *TableTrainer) Steps() int { return len(t.seen.Steps) }

// Observe implements control.Policy.
func (t *TableTrainer) Observe(s vts.Sample, inForce weights.Set) {
	t.Decision = control.Decision{}
	if t.shape.Difference(ShapeOf(s)) != "" || s.Interval <= 0 {
		return
	}
	if len(t.seen.Steps) == 0 {
		schema, err := cluster.NewSchema(cluster.LoadFeatures, s)
		if err != nil {
			return
		}
		t.schema = schema
	}
	row := make([]float64, t.schema.Dim())
	if err := t.schema.FeaturesTo(row, &s); err != nil {
		return
	}
	mixed := t.left == t.cfg.Hold || s.Reloaded // the first interval of a vector
	t.seen.Features = append(t.seen.Features, row...)
	t.seen.Rewards = append(t.seen.Rewards, RewardOf(s, t.cfg.Targets))
	t.seen.Steps = append(t.seen.Steps, cluster.Step{Action: cluster.Control(&s), Follows: !t.fresh, Mixed: mixed})
	t.fresh = false
	if t.left--; t.left > 0 {
		return
	}
	t.at, t.left = t.rng.IntN(len(t.choices)), t.cfg.Hold
	w := weights.Set{}
	for name, m := range t.choices[t.at] {
		if !m.Equal(inForce[name]) {
			w[name] = m
		}
	}
	t.Decision = control.Decision{Weights: w, Reason: fmt.Sprintf("table: vector %d", t.at)}
}

// Model implements Trainee.
func (t *TableTrainer) Model() (*Model, error) {
	n := len(t.seen.Steps)
	if n < cluster.MinimumIntervals(1)+1 {
		return nil, errors.New("train table: nothing was learned yet")
	}
	d := t.schema.Dim()
	x := mat.NewDense(n, d, t.seen.Features)
	scaler := cluster.FitScaler(x)
	most := max(1, min(t.cfg.Regimes, n/cluster.MinimumIntervals(1)))
	mixture, _, err := cluster.ChooseK(context.Background(), scaler.Transform(x),
		cluster.Settings{Seed: t.cfg.Seed, Covariance: cluster.Diag, Restarts: 2, PriorRows: float64(d + 2),
			Workers: 1}, 1, most, nil)
	if err != nil {
		return nil, fmt.Errorf("train table: %w", err)
	}
	regimes, err := cluster.NewModel(t.schema, scaler, mixture, x)
	if err != nil {
		return nil, fmt.Errorf("train table: %w", err)
	}
	history, work := slices.Clone(t.seen.Steps), regimes.NewWorkspace()
	for i := range history {
		history[i].Regime = regimes.Assign(work, x.RawRowView(i)).Regime
	}
	labels := make([]string, regimes.Mixture.K)
	for k := range labels {
		labels[k] = regimes.Regimes[k].Label
	}
	transitions := cluster.CountTransitions(labels, history, 0)
	if len(transitions.Actions) == 0 {
		return nil, errors.New("train table: no transition under one vector of weights yet")
	}
	table, err := SolveTable(transitions, rewardsByControl(transitions, history, t.seen.Rewards), t.cfg.Gamma)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := regimes.Write(&text); err != nil {
		return nil, fmt.Errorf("train table: %w", err)
	}
	return &Model{Version: ModelVersion, Kind: KindTable, Shape: t.shape, Regimes: text.Bytes(), Table: table}, nil
}

// Player implements Trainee.
func (t *TableTrainer) Player() (control.Policy, error) {
	if len(t.seen.Steps) < 10*cluster.MinimumIntervals(1) {
		return nil, nil
	}
	m, err := t.Model()
	if err != nil {
		return nil, err
	}
	return NewTable(m)
}

type tableCheckpoint struct {
	Head   checkpointHead
	Random []byte
	Schema cluster.Schema
	Seen   tableHistory
}

func (t *TableTrainer) head() checkpointHead {
	return checkpointHead{Version: CheckpointVersion, Kind: KindTable, Seed: t.cfg.Seed, Shape: t.shape}
}

// Save implements Trainee.
func (t *TableTrainer) Save(w io.Writer) error {
	random, err := t.source.MarshalBinary()
	if err == nil {
		err = gob.NewEncoder(w).Encode(tableCheckpoint{Head: t.head(), Random: random, Schema: t.schema, Seen: t.seen})
	}
	if err != nil {
		return fmt.Errorf("write checkpoint of table: %w", err)
	}
	return nil
}

// Restore implements Trainee.
func (t *TableTrainer) Restore(r io.Reader) error {
	var c tableCheckpoint
	err := gob.NewDecoder(r).Decode(&c)
	if err == nil {
		err = c.Head.check(t.head())
	}
	if err == nil {
		err = t.source.UnmarshalBinary(c.Random)
	}
	if err != nil {
		return fmt.Errorf("read checkpoint of table: %w", err)
	}
	t.schema, t.seen, t.fresh, t.left = c.Schema, c.Seen, true, 0
	return nil
}
