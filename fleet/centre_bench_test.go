package fleet_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"trimtab/fleet"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"
)

// BenchmarkCentre is an interval of a centre with 1,000 nodes of three groups of twenty servers, in processor time,
// which other work on the machine does not change: reading and judging a sample, and the step that adds all up and
// plans. While it steps, samples wait; so the step is what a sample waits at most, beside the wire, on a machine with
// room.
func BenchmarkCentre(b *testing.B) {
	const nodes, groups, servers, every = 1000, 3, 20, 3 * time.Second
	policy, err := tuner.New(tuner.Config{Regimes: load.RegimeConfig{Observe: -1}})
	if err != nil {
		b.Fatal(err)
	}
	centre, err := fleet.NewCentre(fleet.CentreConfig{Policy: policy, Epoch: 1, Interval: every})
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	inForce := weights.Set{}
	texts := make([][]byte, nodes)
	samples, steps := time.Duration(0), time.Duration(0)
	for seq := uint64(1); b.Loop(); seq++ {
		at = at.Add(every)
		seen := seenBy(at, every, groups, servers, inForce)
		for i := range texts {
			if texts[i], err = json.Marshal(fleet.NewSample(fmt.Sprint("node-", i), "boot", seq, seen)); err != nil {
				b.Fatal(err)
			}
		}
		began := processorTime(b)
		for _, text := range texts {
			s, err := fleet.ParseSample(text)
			if err != nil {
				b.Fatal(err)
			}
			if q := centre.Receive(s, at); q != nil {
				b.Fatal(q)
			}
		}
		middle := processorTime(b)
		inForce = centre.Step(at)[0].Weights
		samples, steps = samples+middle-began, steps+processorTime(b)-middle
	}
	b.ReportMetric(float64(samples.Microseconds())/float64(b.N)/nodes, "cpu_us/sample")
	b.ReportMetric(steps.Seconds()*1e3/float64(b.N), "cpu_ms/step")
	b.ReportMetric((samples+steps).Seconds()/float64(b.N)/every.Seconds(), "cores")
}

// seenBy is what each node saw: groups that share servers, each with a histogram.
func seenBy(at time.Time, every time.Duration, groups, servers int, inForce weights.Set) vts.Sample {
	s := vts.Sample{At: at, Interval: every}
	bounds := []float64{1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000, 2000, 5000, 10000}
	for g := range groups {
		group := vts.GroupSample{Name: fmt.Sprint("group-", g)}
		shares := inForce[group.Name].Shares()
		for i := range servers {
			name := fmt.Sprintf("10.0.0.%d:8080", i+1)
			n := uint64(30)
			if share, planned := shares[name]; planned {
				n = uint64(600 * share)
			}
			counts := make([]uint64, len(bounds))
			for j := range counts {
				if bounds[j] >= 20 {
					counts[j] = n
				}
			}
			group.Peers = append(group.Peers, vts.PeerSample{Server: name,
				Weight: max(1, inForce[group.Name][name].Weight.Int()), Known: true, Requests: n,
				Responses: vts.Responses{1: n}, InBytes: 700 * n, OutBytes: 6000 * n, RequestMsec: 20 * n,
				ResponseMsec: 19 * n, BucketsMsec: bounds, Buckets: counts})
		}
		s.Groups = append(s.Groups, group)
	}
	return s
}

// processorTime is what this process has had.
func processorTime(b *testing.B) time.Duration {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
