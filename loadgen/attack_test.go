package loadgen

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/loadgen/arrival"
)

func TestAttackCountsEveryRequest(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) }))
	defer srv.Close()
	a, err := New(Config{Workloads: []Workload{{
		Name:     "hello",
		Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: srv.URL}),
		Bursts:   []Burst{{Arrival: arrival.Spec{Kind: arrival.Fixed}, Rate: arrival.Constant(500), Duration: time.Second, Seed: 1}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Requests + r.Dropped; got != 500 {
		t.Errorf("got %d requests sent or dropped, want 500", got)
	}
	if want := 5 * r.Requests; r.Errors != 0 || r.BytesIn != want {
		t.Errorf("got %d errors and %d bytes, want none and %d", r.Errors, r.BytesIn, want)
	}
}
