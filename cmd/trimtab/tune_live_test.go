package main

import (
	"net/http"
	"os"
	"testing"
	"time"

	"trimtab/nginx/live"
)

// The daemon with the live actuator: weights change, nginx.conf does not, nothing is reloaded or lost.
func TestE2EDaemonWithLiveWeights(t *testing.T) {
	b := newBed(t, bedPlan{kind: "live", daemon: "[tuner]\nlearner = \"l3\"\n",
		servers: []http.Handler{after(40 * time.Millisecond), after(4 * time.Millisecond)}})
	stopLoad := b.posts(t)
	_, stderr, stop := start(t, "tune", "--config", b.config, "--on-exit", "restore")
	actuator, err := live.New(live.Config{Address: b.control, TokenFile: b.token})
	if err != nil {
		t.Fatal(err)
	}
	weights := func() (w []int) {
		s, err := actuator.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range s.Upstreams["app"].Servers {
			w = append(w, o.Weight)
		}
		return w
	}
	await(t, "the faster server to get more", func() bool { w := weights(); return w[1] > w[0] })
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d: %s", code, stderr)
	}
	if w := weights(); w[0] != w[1] {
		t.Errorf("--on-exit restore: got %v, want equal weights: %s", w, stderr)
	}
	if sent, err := stopLoad(); err != nil || sent == 0 {
		t.Errorf("%d requests, the first that was lost: %v", sent, err)
	}
	if now, err := os.ReadFile(b.Config); err != nil || string(now) != b.conf {
		t.Errorf("nginx.conf was changed (%v)", err)
	}
}
