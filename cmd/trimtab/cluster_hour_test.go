package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/loadgen"
	"trimtab/vts"
)

// statusOf adds samples up to the statuses that a recorder would have stored.
type statusOf struct{ st vts.Status }

func (s *statusOf) add(sample vts.Sample) *vts.Status {
	st := s.st
	st.At, st.NowMsec, st.LoadMsec = sample.At, sample.At.UnixMilli(), max(sample.Generation, 1)
	c := st.Connections
	st.Connections = sample.Connections
	st.Connections.Accepted += c.Accepted
	st.Connections.Handled += c.Handled
	st.Connections.Requests += c.Requests
	st.Upstreams = nil
	for g, group := range sample.Groups {
		u := vts.Upstream{Name: group.Name}
		for i, p := range group.Peers {
			peer := vts.Peer{
				Server: p.Server, Weight: p.Weight, Down: p.Down, Requests: p.Requests, InBytes: p.InBytes,
				OutBytes:  p.OutBytes,
				Responses: p.Responses, RequestMsec: p.RequestMsec, ResponseMsec: p.ResponseMsec,
			}
			if s.st.Upstreams != nil {
				q := s.st.Upstreams[g].Peers[i]
				peer.Requests += q.Requests
				peer.InBytes += q.InBytes
				peer.OutBytes += q.OutBytes
				peer.RequestMsec += q.RequestMsec
				peer.ResponseMsec += q.ResponseMsec
				for class := range peer.Responses {
					peer.Responses[class] += q.Responses[class]
				}
			}
			u.Peers = append(u.Peers, peer)
		}
		st.Upstreams = append(st.Upstreams, u)
	}
	s.st = st
	return &st
}

// simulateSchedule writes the statistics of a simulated hour of the randomised schedule, with the weights changing
// every five minutes, and the schedule.
func simulateSchedule(t testing.TB, dir string, total time.Duration, seed uint64) {
	t.Helper()
	sc, err := deathstarbench.Load("randomised")
	if err != nil {
		t.Fatal(err)
	}
	schedule, err := loadgen.RandomSchedule{
		Workloads: []string{"compose-post", "read-home-timeline", "read-user-timeline"},
		MinRate:   10, MaxRate: 60, Total: total, Seed: seed,
	}.Draw()
	if err != nil {
		t.Fatal(err)
	}
	sc.Loads = nil
	for _, b := range schedule.Bursts {
		end := min(b.Start+b.Duration, loadgen.Span(total))
		sc.Loads = append(sc.Loads, deathstarbench.Traffic{Workload: b.Workload, Arrival: string(b.Kind),
			Phases: []deathstarbench.Phase{
				{At: deathstarbench.Duration(b.Start), Rate: b.Rate}, {At: deathstarbench.Duration(end), Rate: 0},
			}})
	}
	sc.Duration = deathstarbench.Duration(total)
	s, err := sim.New(sc, sim.Options{Seed: seed, Interval: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	r, err := vts.OpenRecorder(vts.RecorderConfig{Path: filepath.Join(dir, "stats.ndjson")})
	if err != nil {
		t.Fatal(err)
	}
	controls := [][3]int{{1, 1, 1}, {1, 2, 4}, {1, 3, 5}}
	var status statusOf
	for step := 0; !s.Done(); step++ {
		if step%600 == 0 {
			w := map[string]map[string]sim.Setting{}
			for _, u := range sc.Upstreams {
				w[u.Name] = map[string]sim.Setting{}
				for i, server := range u.Servers {
					w[u.Name][server] = sim.Setting{Weight: controls[step/600%3][i]}
				}
			}
			if err := s.SetWeights(w); err != nil {
				t.Fatal(err)
			}
		}
		sample, err := s.Step()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Write(status.add(sample)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "schedule.toml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := schedule.WriteTo(f); err != nil {
		t.Fatal(err)
	}
}

// The regimes of a simulated hour agree with the schedule that produced it. With TRIMTAB_HOUR set to a directory the
// statistics stay there.
func TestRegimesOfASimulatedHour(t *testing.T) {
	dir := os.Getenv("TRIMTAB_HOUR")
	if dir == "" {
		dir = t.TempDir()
	}
	simulateSchedule(t, dir, time.Hour, 1)
	var out, errs bytes.Buffer
	code := run(context.Background(), []string{
		"cluster", filepath.Join(dir, "stats.ndjson"), "--schedule", filepath.Join(dir, "schedule.toml"), "--k", "27",
		"--json",
		"--out", filepath.Join(dir, "model.json"), "--plot", filepath.Join(dir, "regimes.png"), "--transitions",
		filepath.Join(dir, "P.csv"),
	}, &out, &errs)
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	var got struct {
		K, N      int
		Agreement scheduleAgreement
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte{'\n'})
	if err := json.Unmarshal(lines[len(lines)-1], &got); err != nil {
		t.Fatal(err)
	}
	if got.N < 1150 || got.Agreement.Levels.NormalisedMutualInformation < 0.8 {
		t.Errorf("got %+v, want at least 1150 intervals and a mutual information of 0.8", got)
	}
}
