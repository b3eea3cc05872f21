package cluster

import (
	"math"
	"testing"
	"time"

	"trimtab/vts"
)

func TestMachinesAreFeatures(t *testing.T) {
	silent := sampleOf(noon, 2*time.Second, 60, 20)
	talks := silent
	b := vts.UnknownHost("b")
	b.CPU, b.Received = 0.5, 99
	talks.Hosts = []vts.HostSample{{Server: "c"}, b}
	collector := NewCollector(HostFeatures).WithHosts([]string{"b", "a", "b"})
	for _, s := range []vts.Sample{silent, talks} { // the first page of a machine says nothing of rates
		if err := collector.Add(&s); err != nil {
			t.Fatal(err)
		}
	}
	schema := collector.Schema()
	if err := schema.validate(); err != nil {
		t.Error(err)
	}
	if n := len(schema.Names()); n != schema.Dim() || n != 11+2*perHost {
		t.Fatalf("features: got %d names for %d, want 11 of load and %d of each of two machines", n, schema.Dim(),
			perHost)
	}
	nan := math.NaN()
	want := append([]float64{nan, nan, nan, nan, nan, nan, nan}, 0.5, nan, nan, nan, nan, math.Log(100), nan)
	for i, v := range collector.Matrix().RawRowView(1)[11:] {
		if v != want[i] && !(math.IsNaN(v) && math.IsNaN(want[i])) {
			t.Errorf("%s: got %v, want %v", schema.Names()[11+i], v, want[i])
		}
	}
	for i, v := range collector.Matrix().RawRowView(0)[11:] {
		if !math.IsNaN(v) {
			t.Errorf("%s of machines that said nothing: got %v, want it unknown", schema.Names()[11+i], v)
		}
	}
	load, err := NewSchema(LoadFeatures, talks)
	if err != nil || load.Equal(schema) || load.Difference(schema) == "" {
		t.Errorf("with and without machines: got %q, %v, want a difference", load.Difference(schema), err)
	}
	bad := schema
	bad.Set = SeedFeatures
	if bad.validate() == nil {
		t.Error("machines in the older set: got no error")
	}
}
