package tuner

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// NGINX takes any bytes for a name; a label must be UTF-8.
func TestMetricsTakeAnyName(t *testing.T) {
	reg := prometheus.NewRegistry()
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "trimtab_weight"}, []string{"upstream", "server"})
	reg.MustRegister(vec)
	g := &gauges{vec: vec}
	for _, name := range []string{"web\xff", "web\n", "\x1b[2J", "web"} {
		g.set(1, name, "unix:/run/\xfe.sock")
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || len(families[0].GetMetric()) != 4 {
		t.Fatalf("got %v, %v, want 4 series", families, err)
	}
}
