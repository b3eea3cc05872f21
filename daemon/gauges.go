package daemon

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges is a family of gauges, of one label or two, of which those that a step did not set go with that step.
type gauges struct {
	vec       *prometheus.GaugeVec
	labels    int                // of each
	last, now map[[2]string]bool // label values
}

// set gives the series of these label values, which are UTF-8, a value. What is no finite number has no series.
func (g *gauges) set(value float64, values ...string) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	var key [2]string
	copy(key[:], values)
	g.vec.WithLabelValues(values...).Set(value)
	if g.now == nil {
		g.now = map[[2]string]bool{}
	}
	g.now[key] = true
}

// drop ends a step.
func drop(families ...*gauges) {
	for _, g := range families {
		for key := range g.last {
			if !g.now[key] {
				g.vec.DeleteLabelValues(key[:g.labels]...)
			}
		}
		g.last, g.now = g.now, nil
	}
}

// setFinite gives a gauge a value unless it is no finite number.
func setFinite(g prometheus.Gauge, value float64) {
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		g.Set(value)
	}
}
