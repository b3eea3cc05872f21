package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/fleet"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"

	"golang.org/x/sys/unix"
)

// tunedOf is a tuner, as the centre of trimtab fleet has it, whose decisions are replaced by those of a file when there
// is one.
type tunedOf struct {
	*tuner.Tuner
	file filed
}

func newTunedOf(path string) (control.Policy, error) {
	t, err := tuner.New(tuner.Config{Regimes: load.RegimeConfig{Observe: -1}})
	return &tunedOf{Tuner: t, file: filed{path: path}}, err
}

func (p *tunedOf) Observe(s vts.Sample, in weights.Set) {
	p.Tuner.Observe(s, in)
	p.file.Observe(s, in)
}

func (p *tunedOf) Choose() control.Decision {
	if d := p.file.Choose(); len(d.Weights) > 0 {
		return d
	}
	return p.Tuner.Choose()
}

const (
	benchGroups  = 3
	benchServers = 20
	benchEvery   = 3 * time.Second
	batch        = 25
)

// page is what a node of the benchmark reports: groups that share servers, each with a histogram.
func page(at time.Time, of weights.Set) vts.Sample {
	s := vts.Sample{At: at, Interval: benchEvery}
	bounds := []float64{1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000, 2000, 5000, 10000}
	for g := range benchGroups {
		name := fmt.Sprint("group-", g)
		group := vts.GroupSample{Name: name}
		shares := of[name].Shares()
		for i := range benchServers {
			server := fmt.Sprintf("10.0.0.%d:8080", i+1)
			n := uint64(600 * shares[server])
			counts := make([]uint64, len(bounds))
			for b := range counts {
				if bounds[b] >= 20 {
					counts[b] = n
				}
			}
			group.Peers = append(group.Peers, vts.PeerSample{Server: server, Weight: max(1, of[name][server].Weight.Int()), Known: true, Requests: n,
				Responses: vts.Responses{1: n}, InBytes: 700 * n, OutBytes: 6000 * n, RequestMsec: 20 * n, ResponseMsec: 19 * n, BucketsMsec: bounds, Buckets: counts})
		}
		s.Groups = append(s.Groups, group)
	}
	return s
}

// evenly is what a node has in force at first.
func evenly() weights.Set {
	out := weights.Set{}
	for g := range benchGroups {
		group := weights.Group{}
		for i := range benchServers {
			group[fmt.Sprintf("10.0.0.%d:8080", i+1)] = weights.Setting{}
		}
		out[fmt.Sprint("group-", g)] = group
	}
	return out
}

// BenchmarkNodes is one centre, a process of its own with a tuner, and many nodes in this one: what the centre needs,
// how old samples are when it has them, and how long a plan takes to all. TRIMTAB_BENCH_NODES says how many nodes;
// default 1000.
func BenchmarkNodes(b *testing.B) {
	count := 1000
	if n, err := strconv.Atoi(os.Getenv("TRIMTAB_BENCH_NODES")); err == nil {
		count = n
	}
	for b.Loop() {
		thousand(b, count)
	}
}

func thousand(b *testing.B, count int) {
	dir := b.TempDir()
	keys := Keys{filepath.Join(dir, "keys")}
	if err := keys.Init(nil); err != nil {
		b.Fatal(err)
	}
	want := filepath.Join(dir, "want.json")
	p := &process{b: &bed{dir: dir}, cfg: childConfig{Name: "centre", Listen: address(b), Store: filepath.Join(dir, "store"), Keys: keys.Dir, Want: want,
		Replicas: 1, Tuned: true, Interval: benchEvery}, log: filepath.Join(dir, "centre.log")}
	if err := p.launch(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		p.kill()
		if text, err := os.ReadFile(p.log); err == nil && b.Failed() {
			b.Logf("centre:\n%.20000s", text)
		}
	}()
	ctx, cancel := context.WithCancel(b.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	links := make([]*Link, count)
	var turns atomic.Int64 // intervals of all nodes: a busy machine leaves some out
	for i := range links {
		name := fmt.Sprintf("node-%04d", i)
		if err := keys.Issue(name, NodeRole, nil); err != nil {
			b.Fatal(err)
		}
		id, err := keys.Identity(name)
		if err != nil {
			b.Fatal(err)
		}
		if links[i], err = NewLink(LinkConfig{Servers: []string{p.url}, Identity: id, Version: "bench", Logger: slog.New(slog.DiscardHandler)}); err != nil {
			b.Fatal(err)
		}
		l, inForce := links[i], evenly()
		policy, err := fleet.NewNode(fleet.NodeConfig{Name: name, Local: &still{}, Link: l})
		if err != nil {
			b.Fatal(err)
		}
		all.Go(func() { _ = l.Run(ctx) })
		if i%batch == batch-1 { // the handshakes of all at once are not what is measured
			benchWait(b, "a batch of nodes to be connected", func() bool {
				return !slices.ContainsFunc(links[i+1-batch:i+1], func(l *Link) bool { return !l.Attached() })
			})
		}
		all.Go(func() {
			select { // nodes are not in step with each other
			case <-ctx.Done():
				return
			case <-time.After(benchEvery * time.Duration(i) / time.Duration(count)):
			}
			beat := time.NewTicker(benchEvery)
			defer beat.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case at := <-beat.C:
					turns.Add(1)
					policy.Observe(page(at, inForce), inForce)
					maps.Copy(inForce, policy.Choose().Weights)
				}
			}
		})
	}
	heard := func(least uint64) bool {
		for _, l := range links {
			if plan, _, ok := l.Heard(); !ok || plan.Seq < least {
				return false
			}
		}
		return true
	}
	benchWait(b, "every node to be told something", func() bool { return heard(0) })
	time.Sleep(3 * benchEvery) // until what is measured is steady
	cpu, waited, own, before, began := p.cpu(b), p.waited(b), ownCPU(b), turns.Load(), time.Now()
	time.Sleep(10 * benchEvery)
	used, took := p.cpu(b)-cpu, time.Since(began)
	waited, own = p.waited(b)-waited, ownCPU(b)-own
	view, err := keys.Identity("view")
	if err != nil {
		b.Fatal(err)
	}
	st, err := ReadStatus(ctx, []string{p.url}, view)
	if err != nil {
		b.Fatal(err)
	}
	plan := evenly()
	for _, group := range plan {
		for i, server := range slices.Sorted(maps.Keys(group)) {
			group[server] = weights.Setting{Weight: weights.Clamp(1 + i%3)}
		}
	}
	text, err := json.Marshal(plan)
	if err == nil {
		err = os.WriteFile(want, text, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	benchWait(b, "one node to be told the plan", func() bool {
		for _, l := range links {
			if p, _, _ := l.Heard(); p.Seq > st.Plan {
				return true
			}
		}
		return false
	})
	first := time.Now()
	benchWait(b, "every node to be told the plan", func() bool { return heard(st.Plan + 1) })
	spread := time.Since(first)
	b.ReportMetric(used/took.Seconds(), "cores")
	b.ReportMetric(waited/took.Seconds(), "waiting") // threads of the centre that could run and had no processor, on average
	b.ReportMetric(100*own/float64(turns.Load()-before)/benchEvery.Seconds(), "%core/node")
	b.ReportMetric(p.peak(b)/(1<<20), "MiB")
	b.ReportMetric(st.LagSec.P50*1e3, "lag_p50_ms")
	b.ReportMetric(st.LagSec.P99*1e3, "lag_p99_ms")
	b.ReportMetric(spread.Seconds()*1e3, "plan_to_all_ms")
	b.ReportMetric(float64(len(st.Nodes)), "nodes")
	b.ReportMetric(float64(st.Discarded), "quarantined")
	b.ReportMetric(0, "ns/op")
}

func benchWait(b *testing.B, what string, ok func() bool) {
	for deadline := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("not within three minutes: %s", what)
		}
	}
}

// cpu is the processor time that the process has had, s.
func (p *process) cpu(b *testing.B) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100 // USER_HZ
}

// waited is for how long threads of the process could run and had no processor, s: what a busy machine adds to every
// lag.
func (p *process) waited(b *testing.B) (sec float64) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if fields := strings.Fields(string(text)); err == nil && len(fields) == 3 { // threads end
			ns, _ := strconv.ParseFloat(fields[1], 64)
			sec += ns / 1e9
		}
	}
	return sec
}

// ownCPU is the processor time that this process, all nodes, has had, s.
func ownCPU(b *testing.B) float64 {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return float64(use.Utime.Nano()+use.Stime.Nano()) / 1e9
}

// peak is the most memory that the process had, bytes.
func (p *process) peak(b *testing.B) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
			return kib * 1024
		}
	}
	return 0
}
