package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// ModelVersion is the version of the model file that this package writes, and the only one it reads.
const ModelVersion = 1

// Model is everything needed to say which regime an interval belongs to.
type Model struct {
	Schema  Schema
	Scaler  Scaler
	Mixture *Mixture // over standardised features
	Regimes []Regime // one per component
	Levels  []Level  // per group: what LOW and HIGH mean in the labels
	// NoveltyProbability is the probability of the chi-square ellipsoid outside of which, for every component, a
	// point is novel.
	NoveltyProbability float64

	noveltyLimit float64 // squared Mahalanobis distance
}

// Regime is what people call a component.
type Regime struct {
	Label string  `json:"label"`
	Share float64 `json:"share"` // of the intervals the model was fitted to
}

// DefaultNovelty is the probability of the novelty ellipsoid.
const DefaultNovelty = 0.997

// FitModel fits a model to x, n×d features of the schema as FeaturesTo gives them.
func FitModel(ctx context.Context, schema Schema, x *mat.Dense, s Settings) (*Model, error) {
	n, d := x.Dims()
	if d != schema.Dim() {
		return nil, fmt.Errorf("%d features, schema has %d", d, schema.Dim())
	}
	if k := s.withDefaults().K; n < MinimumIntervals(k) {
		return nil, fmt.Errorf("%d intervals: %d regimes need at least %d; collect %d more, or ask for fewer regimes",
			n, k, MinimumIntervals(k), MinimumIntervals(k)-n)
	}
	if s.PriorRows == 0 {
		s.PriorRows = float64(d + 2)
	}
	scaler := FitScaler(x)
	mixture, err := FitContext(ctx, scaler.Transform(x), s)
	if err != nil {
		return nil, err
	}
	return NewModel(schema, scaler, mixture, x)
}

// NewModel puts a model together from its parts and names its regimes; x holds the raw features that the levels of
// the names are taken from, nil for none. Regimes are numbered by rising total rate, without rates by falling weight.
func NewModel(schema Schema, scaler Scaler, mixture *Mixture, x *mat.Dense) (*Model, error) {
	m := &Model{Schema: schema, Scaler: scaler, Mixture: mixture, NoveltyProbability: DefaultNovelty}
	if x != nil {
		m.Levels = schema.levels(x)
	}
	m.Mixture = mixture.reordered(m.order())
	m.Regimes = make([]Regime, mixture.K)
	if err := m.prepare(); err != nil {
		return nil, err
	}
	m.Regimes = m.describe()
	return m, nil
}

// order is the order in which the components are numbered.
func (m *Model) order() []int {
	key := make([]float64, m.Mixture.K)
	rates := m.GroupRates()
	for k := range key {
		key[k] = -m.Mixture.Weights[k]
		if rates != nil {
			key[k] = floats.Sum(rates[k])
		}
	}
	order := make([]int, len(key))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(key[a], key[b]) })
	return order
}

// SetNovelty changes the probability of the novelty ellipsoid; it panics unless 0 < p < 1.
func (m *Model) SetNovelty(p float64) {
	if !(p > 0 && p < 1) {
		panic(fmt.Sprintf("cluster: novelty probability %g", p))
	}
	m.NoveltyProbability, m.noveltyLimit = p, noveltyLimit(p, m.Mixture.D)
}

// MinimumIntervals is the least number of intervals that a model of k regimes is fitted to: five per regime.
func MinimumIntervals(k int) int { return 5 * k }

func (m *Model) prepare() error {
	if err := m.Mixture.Validate(); err != nil {
		return err
	}
	if m.Mixture.D != m.Schema.Dim() {
		return fmt.Errorf("mixture has %d features, schema %d", m.Mixture.D, m.Schema.Dim())
	}
	if err := m.Scaler.validate(m.Mixture.D); err != nil {
		return err
	}
	if len(m.Regimes) != m.Mixture.K {
		return fmt.Errorf("%d regimes for %d components", len(m.Regimes), m.Mixture.K)
	}
	if n := len(m.Levels); n > 0 && (m.Schema.Set != LoadFeatures || n != len(m.Schema.Groups)) {
		return fmt.Errorf("%d levels for the groups of the schema", n)
	}
	for g := range m.Levels {
		m.Levels[g].complete(g)
	}
	if !(m.NoveltyProbability > 0 && m.NoveltyProbability < 1) {
		return fmt.Errorf("novelty probability %g: want between 0 and 1", m.NoveltyProbability)
	}
	m.noveltyLimit = noveltyLimit(m.NoveltyProbability, m.Mixture.D)
	return nil
}

// modelFile is the JSON form, in the order in which it is written.
type modelFile struct {
	Format             string      `json:"format"`
	Version            int         `json:"version"`
	Schema             Schema      `json:"schema"`
	Features           []string    `json:"features"`
	Scaler             Scaler      `json:"scaler"`
	NoveltyProbability float64     `json:"novelty_probability"`
	Levels             []Level     `json:"levels,omitempty"`
	Covariance         Covariance  `json:"covariance"`
	Fit                FitReport   `json:"fit"`
	Components         []component `json:"components"`
	Tied               [][]float64 `json:"tied_covariance,omitempty"`
}

type component struct {
	Regime
	Weight     float64     `json:"weight"`
	Mean       []float64   `json:"mean"`
	Covariance [][]float64 `json:"covariance,omitempty"` // d×d, or 1×d variances, or 1×1
}

const modelFormat = "trimtab regime model"

// innermost matches arrays of numbers, the only long arrays of the file.
var innermost = regexp.MustCompile(`\[[-+0-9.eE,\s]*\]`)

// Write writes the model as JSON with a fixed order of keys.
func (m *Model) Write(w io.Writer) error {
	mix := m.Mixture
	f := modelFile{
		Format: modelFormat, Version: ModelVersion, Schema: m.Schema, Features: m.Schema.Names(), Scaler: m.Scaler,
		NoveltyProbability: m.NoveltyProbability, Levels: m.Levels, Covariance: mix.Covariance, Fit: mix.Fit,
	}
	for k := range mix.K {
		c := component{Regime: m.Regimes[k], Weight: mix.Weights[k], Mean: mix.Mean(k)}
		if mix.Covariance != Tied {
			size := len(mix.Covariances) / mix.K
			c.Covariance = split(mix.Covariances[k*size:(k+1)*size], min(size, mix.D))
		}
		f.Components = append(f.Components, c)
	}
	if mix.Covariance == Tied {
		f.Tied = split(mix.Covariances, mix.D)
	}
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	if _, err := w.Write(append(rowsOnLines(text), '\n')); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	return nil
}

// rowsOnLines puts every array of numbers of indented JSON on one line.
func rowsOnLines(text []byte) []byte {
	return innermost.ReplaceAllFunc(text, func(array []byte) []byte {
		var line bytes.Buffer
		_ = json.Compact(&line, array) // cannot fail: it is a piece of valid JSON
		return bytes.ReplaceAll(line.Bytes(), []byte{','}, []byte(", "))
	})
}

func split(v []float64, width int) [][]float64 {
	var rows [][]float64
	for ; len(v) > 0; v = v[width:] {
		rows = append(rows, v[:width])
	}
	return rows
}

// ReadModel reads what Write wrote and refuses anything else.
func ReadModel(r io.Reader) (*Model, error) {
	var f modelFile
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("parse model, near byte %d: %w", dec.InputOffset(), err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("parse model, near byte %d: something follows the model", dec.InputOffset())
	}
	if f.Format != modelFormat {
		return nil, fmt.Errorf("parse model: format is %q, want %q", f.Format, modelFormat)
	}
	if f.Version != ModelVersion {
		return nil, fmt.Errorf("parse model: version %d, this program reads version %d; fit it again", f.Version,
			ModelVersion)
	}
	if err := f.Schema.validate(); err != nil {
		return nil, fmt.Errorf("parse model: %w", err)
	}
	m := &Model{Schema: f.Schema, Scaler: f.Scaler, NoveltyProbability: f.NoveltyProbability, Levels: f.Levels}
	mix := &Mixture{K: len(f.Components), D: f.Schema.Dim(), Covariance: f.Covariance, Fit: f.Fit}
	for k, c := range f.Components {
		if len(c.Mean) != mix.D {
			return nil, fmt.Errorf("parse model: component %d has a mean of %d elements, want %d", k, len(c.Mean),
				mix.D)
		}
		mix.Weights = append(mix.Weights, c.Weight)
		mix.Means = append(mix.Means, c.Mean...)
		for _, row := range c.Covariance {
			mix.Covariances = append(mix.Covariances, row...)
		}
		m.Regimes = append(m.Regimes, c.Regime)
	}
	for _, row := range f.Tied {
		mix.Covariances = append(mix.Covariances, row...)
	}
	m.Mixture = mix
	if err := m.prepare(); err != nil {
		return nil, fmt.Errorf("parse model: %w", err)
	}
	return m, nil
}
