package fleet_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/fleet"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
)

// Bound of what one node of eight can move by lying: the share of the requests of others that then go elsewhere, as the
// mean of so many runs. The worst lie moves 10 to 15 %, by run.
const (
	mostMoved = 0.15
	lieSeeds  = 4
)

func TestALyingNodeMovesTheOthersLittle(t *testing.T) {
	t.Parallel()
	honest := lies(t, nil)
	for _, c := range []struct {
		name string
		lie  func(p *vts.PeerSample)
	}{
		{"a server is said to be fifty times slower", func(p *vts.PeerSample) { slower(p, 50) }},
		{"a server is said to be 3.9 times slower, which is just no contradiction", func(p *vts.PeerSample) {
			slower(p, 3.9)
		}},
		{"a server is said to be infinitely fast", func(p *vts.PeerSample) { slower(p, 0) }},
		{"a server is said to be just not too fast", func(p *vts.PeerSample) { slower(p, 0.26) }},
		{"a server is said to have twenty times the requests", func(p *vts.PeerSample) { more(p, 20) }},
		{"a server is said to have twenty times the requests, each slow", func(p *vts.PeerSample) {
			more(p, 20)
			slower(p, 3.9)
		}},
		{"a server is said to fail always", func(p *vts.PeerSample) { p.Responses = vts.Responses{4: p.Requests} }},
		{"a server is said to get nothing", func(p *vts.PeerSample) {
			*p = vts.PeerSample{Server: p.Server, Weight: p.Weight}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := lies(t, c.lie)
			moved := 0.0
			for seed := range honest {
				for server, share := range honest[seed] {
					moved += math.Abs(got[seed][server]-share) / 2 / lieSeeds
				}
			}
			t.Logf("%.1f %% of the requests go elsewhere", 100*moved)
			if moved > mostMoved {
				t.Errorf("%.1f %% of the requests of others go elsewhere, want at most %.0f: %v instead of %v",
					100*moved, 100*mostMoved, got, honest)
			}
		})
	}
}

func slower(p *vts.PeerSample, factor float64) {
	p.ResponseMsec, p.RequestMsec = uint64(float64(p.ResponseMsec)*factor), uint64(float64(p.RequestMsec)*factor)
	if factor == 0 {
		p.Buckets = nil
	}
}

func more(p *vts.PeerSample, factor uint64) {
	p.Requests, p.ResponseMsec, p.RequestMsec = p.Requests*factor, p.ResponseMsec*factor, p.RequestMsec*factor
	for i := range p.Responses {
		p.Responses[i] *= factor
	}
	p.Buckets = nil
}

// lies is lie with several seeds.
func lies(t *testing.T, of func(*vts.PeerSample)) (out [lieSeeds]map[string]float64) {
	t.Helper()
	for i := range out {
		out[i] = lie(t, uint64(i)+1, of)
	}
	return out
}

// lie plays eight balancers over servers of capacity 1:2:4, one of which lies of the largest server, and returns the
// mean shares that the others are told in the second half.
func lie(t *testing.T, seed uint64, lie func(*vts.PeerSample)) map[string]float64 {
	t.Helper()
	sc, err := deathstarbench.Parse("eight.toml", []byte(`
duration = "180s"
control_interval = "3s"
`+servers()+`
[[upstream]]
name = "u"
workload = "read-home-timeline"
servers = ["a", "b", "c"]
deadline = "45ms"
[[load]]
workload = "read-home-timeline"
arrival = "exp"
phases = [{ at = "0s", rate = 280 }]
`+balancers(8)))
	if err != nil {
		t.Fatal(err)
	}
	run, err := sim.New(sc, sim.Options{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := tuner.New(tuner.Config{
		Groups: map[string]tuner.GroupConfig{"u": {Deadline: 45 * time.Millisecond}}})
	if err != nil {
		t.Fatal(err)
	}
	centre, err := fleet.NewCentre(fleet.CentreConfig{Policy: policy, Epoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	sums, n := map[string]float64{}, 0.0
	for seq := uint64(1); !run.Done(); seq++ {
		samples := run.StepAll()
		at := samples[0].At
		for i := range samples {
			if i == 0 && lie != nil {
				lie(&samples[i].Groups[0].Peers[2])
			}
			centre.Receive(fleet.NewSample(fmt.Sprintf("node-%d", i), "boot", seq, samples[i]), at)
		}
		plan := centre.Step(at)[0]
		if g := plan.Weights["u"]; g != nil {
			settings := map[string]sim.Setting{}
			for server, s := range g {
				settings[server] = sim.Setting{Weight: s.Weight.Int(), Down: s.Down}
			}
			if err := run.SetWeights(map[string]map[string]sim.Setting{"u": settings}); err != nil {
				t.Fatal(err)
			}
		}
		if run.Now() > sc.Duration.Std()/2 {
			g := weights.Group(plan.Weights["u"])
			if g == nil {
				t.Fatal("no plan after half of the time")
			}
			for server, share := range g.Shares() {
				sums[server] += share
			}
			n++
		}
	}
	for server := range sums {
		sums[server] /= n
	}
	return sums
}

func servers() (text string) {
	for i, name := range []string{"a", "b", "c"} {
		text += fmt.Sprintf("[[server]]\nname = %q\nslots = %d\nservice_cv = 0.5\nservice = { read-home-timeline = "+
			"\"20ms\" }\n", name, 1<<i)
	}
	return text
}

func balancers(n int) (text string) {
	for i := range n {
		text += fmt.Sprintf("[[balancer]]\nname = \"node-%d\"\n", i)
	}
	return text
}
