package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/vts"
)

// storeStatistics writes what trimtab collect would have recorded of a scenario in the simulator, for so long.
func storeStatistics(t *testing.T, name string, duration time.Duration) string {
	t.Helper()
	sc, err := deathstarbench.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := sc.Shorten(duration, time.Second); err != nil {
		t.Fatal(err)
	}
	run, err := sim.New(sc, sim.Options{Seed: 1, Live: true})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	st := vts.Status{At: began, NowMsec: began.UnixMilli(), LoadMsec: began.Add(-time.Hour).UnixMilli(),
		NginxVer: "1.22.1", ModuleVer: "v0.2.2"}
	st.Connections = vts.Connections{Accepted: 1, Handled: 1, Requests: 1}
	var text []byte
	for !run.Done() {
		s, err := run.Step()
		if err != nil {
			t.Fatal(err)
		}
		st.At, st.NowMsec = st.At.Add(s.Interval), st.NowMsec+s.Interval.Milliseconds()
		for i, g := range s.Groups {
			if len(st.Upstreams) <= i {
				st.Upstreams = append(st.Upstreams, vts.Upstream{Name: g.Name, Peers: make([]vts.Peer, len(g.Peers))})
			}
			for j, p := range g.Peers {
				to := &st.Upstreams[i].Peers[j]
				to.Server, to.Weight, to.MaxFails, to.FailTimeout = p.Server, p.Weight, 1, 10
				to.Requests += p.Requests
				to.RequestMsec, to.ResponseMsec = to.RequestMsec+p.RequestMsec, to.ResponseMsec+p.ResponseMsec
				if to.BucketsMsec == nil {
					to.BucketsMsec, to.Buckets = p.BucketsMsec, make([]uint64, len(p.Buckets))
				}
				for k := range p.Buckets {
					to.Buckets[k] += p.Buckets[k]
				}
				for k := range p.Responses {
					to.Responses[k] += p.Responses[k]
				}
			}
			st.Connections.Requests += g.Requests()
		}
		text = append(vts.AppendRecord(text, &st), '\n')
	}
	path := filepath.Join(t.TempDir(), "stats.ndjson")
	if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte("\n\n"), []byte("\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPlanOffline(t *testing.T) {
	stats := storeStatistics(t, "mesh-throughput", 30*time.Minute)
	plot := filepath.Join(t.TempDir(), "plan.png")
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string // in what it prints
	}{
		{"throughput with admission", []string{"--objective", "throughput", "--bound", "information1=35ms", "--bound",
			"information2=110ms", "--max-blocked", "1", "--out", plot, stats},
			0, []string{"information2", "refused", "Over the time: reward", "Trade-off", "× 2"}},
		{"cost with scaling", []string{"--objective", "cost", "--bound", "150ms", "--capacity", "node1=1:2",
			"--capacity", "node2=1:2", "--interval", "10s", stats}, 0, []string{"units on average"}},
		{"a bound that cannot be met says by how much, and what could be", []string{"--objective", "throughput",
			"--bound", "20ms", "--no-trade-off", stats}, exitRefused,
			[]string{"cannot be met at any load", "ms could be"}},
		{"no objective", []string{stats}, exitUsage, []string{"--objective"}},
		{"an objective that nobody knows", []string{"--objective", "joy", stats}, exitUsage, []string{`--objective "joy"`}},
		{"importance 0", []string{"--objective", "throughput", "--bound", "35ms", "--importance", "0", stats},
			exitUsage, []string{"importance 0"}},
		{"an upstream that is not there", []string{"--objective", "throughput", "--bound", "other=35ms", stats},
			exitUsage, []string{`upstream "other"`}},
		{"a promise to an upstream that is not there", []string{"--objective", "guarantee", "--bound", "35ms",
			"--promised", "other=5", stats}, exitUsage, []string{`upstream "other"`}},
		{"capacity of a server that is not there", []string{"--objective", "cost", "--bound", "150ms", "--capacity",
			"other=1:2", "--no-trade-off", stats}, exitUsage, []string{`server "other"`, "node1"}},
		{"tardiness with admission: nobody is late where everybody is refused", []string{"--objective", "tardiness",
			"--bound", "35ms", "--max-blocked", "0.5", stats}, exitUsage, []string{"contradicts the objective"}},
		{"no statistics", []string{"--objective", "throughput"}, exitUsage, []string{"--state"}},
		{"a file that is not there", []string{"--objective", "throughput", "/nonexistent"}, exitConfig,
			[]string{"/nonexistent"}},
		{"a state without a load", []string{"--objective", "throughput", "--state", "/nonexistent"}, exitUsage,
			[]string{"--load"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(t.Context(), append([]string{"plan"}, c.args...), &out, &errs); code != c.code {
				t.Fatalf("got code %d, want %d: %s", code, c.code, errs.String())
			}
			for _, want := range c.want {
				if !strings.Contains(out.String()+errs.String(), want) {
					t.Errorf("it does not say %q:\n%s%s", want, out.String(), errs.String())
				}
			}
		})
	}
	if info, err := os.Stat(plot); err != nil || info.Size() < 5000 {
		t.Errorf("the plot: %v, %v", info, err)
	}
}

func TestPlanAsJSON(t *testing.T) {
	stats := storeStatistics(t, "mesh-compute", 20*time.Minute)
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"plan", "--objective", "cost", "--bound", "300ms", "--capacity", "compute=1:5",
		"--json", stats}, &out, &errs); code != 0 {
		t.Fatalf("got code %d: %s", code, errs.String())
	}
	conforms(t, "trimtab plan", out.String())
	loads, share := 0, 0.0
	for line := range strings.Lines(out.String()) {
		var row struct {
			Kind     string
			Share    float64 `json:"share_of_time"`
			Capacity float64 `json:"capacity_units"`
			Upstream []struct {
				Offered float64 `json:"offered_per_s"`
				Held    float64
			} `json:"upstreams"`
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		if row.Kind != "load" {
			continue
		}
		loads++
		share += row.Share
		// 0.2 s each: 4, 8, 12, 16 and 20 per second want 1 to 5 cores.
		if want := row.Upstream[0].Offered * 0.2 * 1.2; row.Capacity > want+1 ||
			row.Capacity < row.Upstream[0].Offered*0.2 {
			t.Errorf("%.1f per second: %v cores", row.Upstream[0].Offered, row.Capacity)
		}
	}
	if loads < 2 || share < 0.999 || share > 1.001 {
		t.Errorf("%d loads with %.3f of the time, want several with all of it", loads, share)
	}
}

func TestLabelsOfTheTradeOffEndWithTheData(t *testing.T) {
	var labels []string
	for _, tick := range (plainTicks{3}).Ticks(0.9, 3.6) {
		if tick.Label != "" {
			labels = append(labels, tick.Label)
		}
	}
	if got := strings.Join(labels, " "); got != "1 2 3" {
		t.Errorf("got the labels %s, want 1 2 3", got)
	}
}
