package cluster

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"trimtab/vts"
)

// Collector gathers the features of samples until there are enough of them to fit a model: the observation period.
type Collector struct {
	set    FeatureSet
	hosts  []string // that are features beside those of the first sample
	schema Schema
	data   []float64
	n      int
}

// NewCollector returns an empty collector; empty set: LoadFeatures.
func NewCollector(set FeatureSet) *Collector {
	if set == "" {
		set = LoadFeatures
	}
	return &Collector{set: set}
}

// WithHosts makes the machines of these servers features, whether the first sample has them or not, and returns the
// collector. It is for one that is empty, of load features.
func (c *Collector) WithHosts(servers []string) *Collector {
	c.hosts = servers
	return c
}

// Add appends the features of s. The first sample decides the schema; a sample that does not fit it is an error
// and is left out.
func (c *Collector) Add(s *vts.Sample) error {
	if c.n == 0 {
		schema, err := NewSchema(c.set, *s)
		if err != nil {
			return err
		}
		c.schema = schema
		if len(c.hosts) > 0 {
			c.schema = schema.WithHosts(append(slices.Clone(schema.Hosts), c.hosts...))
		}
	}
	d := c.schema.Dim()
	at := len(c.data)
	c.data = append(c.data, make([]float64, d)...)
	if err := c.schema.FeaturesTo(c.data[at:], s); err != nil {
		c.data = c.data[:at]
		return err
	}
	c.n++
	return nil
}

// Fits reports whether a sample has the groups of those gathered.
func (c *Collector) Fits(s *vts.Sample) bool {
	if c.n == 0 || len(s.Groups) != len(c.schema.Groups) {
		return false
	}
	for i := range c.schema.Groups {
		if findGroup(s.Groups, c.schema.Groups[i].Name) == nil {
			return false
		}
	}
	return true
}

// Len is the number of intervals gathered.
func (c *Collector) Len() int { return c.n }

// Schema is the schema of the intervals gathered; empty before the first.
func (c *Collector) Schema() Schema { return c.schema }

// Matrix returns the features gathered, n×d; nil when there are none. It shares memory with the collector.
func (c *Collector) Matrix() *mat.Dense {
	if c.n == 0 {
		return nil
	}
	return mat.NewDense(c.n, c.schema.Dim(), c.data)
}

// Thin returns a collector of at most n of the intervals gathered, evenly spread.
func (c *Collector) Thin(n int) *Collector {
	if c.n <= n || n < 1 {
		return c
	}
	d := c.schema.Dim()
	out := &Collector{set: c.set, schema: c.schema, n: n, data: make([]float64, 0, n*d)}
	for i := range n {
		at := i * c.n / n * d
		out.data = append(out.data, c.data[at:at+d]...)
	}
	return out
}

// Fit fits a model to what was gathered.
func (c *Collector) Fit(ctx context.Context, s Settings) (*Model, error) {
	if c.n == 0 {
		return nil, fmt.Errorf("no intervals: %d regimes need at least %d", s.withDefaults().K,
			MinimumIntervals(s.withDefaults().K))
	}
	return FitModel(ctx, c.schema, c.Matrix(), s)
}
