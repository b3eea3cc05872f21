package socialnet

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/requests"
)

// The tests of this file measure this machine for minutes: scripts/bench-socialnet.sh runs them, `make test` does not.
const (
	measureEnv  = "TRIMTAB_MEASURE"
	wrapEnv     = "TRIMTAB_MEASURE_WRAP" // command that the backends are started by, such as chrt -r 2
	backendsEnv = "TRIMTAB_MEASURE_BACKENDS"
)

func skipUnlessMeasuring(t *testing.T) {
	if os.Getenv(measureEnv) == "" {
		t.Skip("measures for minutes: run scripts/bench-socialnet.sh")
	}
}

// TestBackendsProcess is the process under measurement: it serves a scenario until its stdin ends.
func TestBackendsProcess(t *testing.T) {
	text := os.Getenv(backendsEnv)
	if text == "" {
		t.Skip("is started by the measurements")
	}
	s, err := deathstarbench.Parse("measured.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	network := NewNetwork(NewMemory())
	graph, err := deathstarbench.GenerateGraph(deathstarbench.DefaultUsers, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := network.Populate(t.Context(), graph.Nodes, deathstarbench.DefaultFirstUser, graph.Edges); err != nil {
		t.Fatal(err)
	}
	b, err := StartAll(t.Context(), s, network, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	admin := http.Server{Addr: "127.0.0.1:0", Handler: b.Admin()}
	port, err := reservePort("")
	if err != nil {
		t.Fatal(err)
	}
	defer port.close()
	listener, err := port.listen()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = admin.Serve(listener) }()
	defer admin.Close()
	fmt.Printf("admin %s\n", port.addr)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// measured is a running process of backends.
type measured struct {
	t     *testing.T
	admin string
	pid   int
}

func startMeasured(t *testing.T, scenario string) *measured {
	t.Helper()
	command := append(strings.Fields(os.Getenv(wrapEnv)), os.Args[0], "-test.run", "^TestBackendsProcess$")
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), backendsEnv+"="+scenario)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	m := &measured{t: t, pid: cmd.Process.Pid}
	if _, err := fmt.Fscanf(stdout, "admin %s\n", &m.admin); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *measured) stats() []Stats {
	m.t.Helper()
	resp, err := http.Get("http://" + m.admin + "/servers")
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	var stats []Stats
	if err := json.NewDecoder(resp.Body).Decode(&stats); err != nil {
		m.t.Fatal(err)
	}
	return stats
}

// cpu is the processor time that the process has used.
func (m *measured) cpu() time.Duration {
	m.t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(m.pid) + "/stat")
	if err != nil {
		m.t.Skip("no /proc: ", err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // clock ticks of 1/100 s
}

// load sends requests of a workload to a server, evenly spaced, and returns the latencies of what was answered with
// 200, in ms, counted from when each request was sent.
func load(t *testing.T, workload, addr string, rate float64, d time.Duration, seed uint64) []float64 {
	targeter, err := requests.NewTargeter(workload, "http://"+addr, requests.TargetOptions{FirstUser: 1, Seed: seed})
	if err != nil {
		t.Error(err)
		return nil
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 10_000, DisableCompression: true}
	defer transport.CloseIdleConnections()
	attacker := vegeta.NewAttacker(vegeta.Client(&http.Client{Transport: transport, Timeout: time.Minute}),
		vegeta.Workers(100), vegeta.MaxWorkers(10_000))
	var ms []float64
	for r := range attacker.Attack(targeter, vegeta.ConstantPacer{Freq: int(rate), Per: time.Second}, d, "") {
		if r.Code == http.StatusOK {
			ms = append(ms, r.Latency.Seconds()*1e3)
		}
	}
	return ms
}

func scenarioText(slots int, means []string, limit int) string {
	text := "duration = \"1h\"\n"
	names := []string{}
	for i, mean := range means {
		name := string(rune('a' + i))
		names = append(names, strconv.Quote(name))
		text += fmt.Sprintf("[[server]]\nname = %q\nslots = %d\nservice_cv = 0.5\nqueue_limit = %d\n", name, slots,
			limit) +
			fmt.Sprintf("service = { compose-post = %q, read-home-timeline = %q, read-user-timeline = %q }\n", mean,
				mean, mean)
	}
	for _, w := range deathstarbench.Workloads() {
		text += fmt.Sprintf("[[upstream]]\nname = %q\nworkload = %q\nservers = [%s]\n", "u-"+w, w,
			strings.Join(names, ", "))
	}
	return text + "[[load]]\nworkload = \"compose-post\"\narrival = \"exp\"\nphases = [{ at = \"0s\", rate = 1 }]\n"
}

// Three servers at 1,000 mixed requests per second each, first with slots enough for all, then with queues of
// thousands: the services delivered are as long as asked, and the process needs less than half a core.
func TestMeasureServiceTimes(t *testing.T) {
	skipUnlessMeasuring(t)
	const perServer = 1000
	for _, c := range []struct {
		name  string
		slots int
		means []string
		limit int
	}{
		{"no queue", 100, []string{"10ms", "20ms", "40ms"}, 2000},
		{"thousands waiting", 16, []string{"16ms", "16.5ms", "17ms"}, 4000},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := startMeasured(t, scenarioText(c.slots, c.means, c.limit))
			servers := m.stats()
			var loads sync.WaitGroup
			latencies := make([][]float64, len(servers))
			const warm, window, drain = 5 * time.Second, 20 * time.Second, 3 * time.Second
			for i, s := range servers {
				loads.Go(func() {
					latencies[i] = load(t, deathstarbench.Mixed, s.Addr, perServer, warm+window+drain, uint64(i))
				})
				if c.name != "no queue" { // fill the queue
					loads.Go(func() { load(t, deathstarbench.ReadHomeTimeline, s.Addr, 1500, time.Second, 99) })
				}
			}
			<-time.After(warm)
			before, cpu := m.stats(), m.cpu()
			<-time.After(window)
			after := m.stats()
			used := m.cpu() - cpu
			loads.Wait()
			total := 0.0
			for i := range servers {
				asked, _ := time.ParseDuration(c.means[i])
				begun := float64(after[i].Begun - before[i].Begun)
				took := after[i].ClockSeconds - before[i].ClockSeconds
				drawn := 1e3 * (after[i].BusySeconds - before[i].BusySeconds) / begun
				served := float64(after[i].Served - before[i].Served)
				late := 1e3 * (after[i].LateSumSeconds - before[i].LateSumSeconds) / served
				total += served / took
				delivered := drawn + late
				row := fmt.Sprintf("server %s: asked %.2f ms, drawn %.3f ms, late %.3f ms (max %.1f), delivered "+
					"%+.2f %%, served %.0f/s, waiting %d → %d",
					servers[i].Server, ms64(asked), drawn, late, after[i].LateMaxMsec, 100*(delivered/ms64(asked)-1),
					served/took, before[i].Waiting, after[i].Waiting)
				if c.name == "no queue" {
					slices.Sort(latencies[i])
					row += fmt.Sprintf(", client mean %.3f ms (%+.2f %%)", mean(latencies[i]),
						100*(mean(latencies[i])/ms64(asked)-1))
				} else {
					capacity := float64(c.slots) / asked.Seconds()
					row += fmt.Sprintf(", %.2f %% of slots/mean", 100*served/took/capacity)
				}
				t.Log(row)
				if math.Abs(delivered/ms64(asked)-1) > 0.03 {
					t.Errorf("server %s: mean service %.3f ms, want %.3f within 3 %%", servers[i].Server, delivered,
						ms64(asked))
				}
			}
			cores := used.Seconds() / (after[0].ClockSeconds - before[0].ClockSeconds)
			t.Logf("%.0f requests/s, %.2f cores of %d", total, cores, runtime.NumCPU())
			if cores > 0.5 {
				t.Errorf("got %.2f cores, want at most 0.5", cores)
			}
		})
	}
}

func ms64(d time.Duration) float64 { return d.Seconds() * 1e3 }

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// The knee of every server of capacity-1-2-4 for every workload: the rate served when more is offered, over HTTP.
func TestMeasureKnee(t *testing.T) {
	skipUnlessMeasuring(t)
	text, err := deathstarbench.Source("capacity-1-2-4")
	if err != nil {
		t.Fatal(err)
	}
	s, err := deathstarbench.Load("capacity-1-2-4")
	if err != nil {
		t.Fatal(err)
	}
	for _, workload := range deathstarbench.Workloads() {
		m := startMeasured(t, string(text))
		for _, factor := range []float64{0.5, 0.8, 0.95, 1.2} {
			steps := 8 * time.Second
			if factor > 1 {
				steps = 43 * time.Second
			}
			var loads sync.WaitGroup
			latencies := make([][]float64, len(s.Servers))
			servers := m.stats()
			for i := range s.Servers {
				capacity := float64(s.Servers[i].Slots) / s.Servers[i].Service[workload].Std().Seconds()
				loads.Go(func() {
					latencies[i] = load(t, workload, servers[i].Addr, factor*capacity, steps, uint64(i))
				})
			}
			<-time.After(2 * time.Second)
			before := m.stats()
			<-time.After(steps - 3*time.Second)
			after := m.stats()
			loads.Wait()
			for i := range s.Servers {
				capacity := float64(s.Servers[i].Slots) / s.Servers[i].Service[workload].Std().Seconds()
				served := float64(after[i].Served-before[i].Served) / (after[i].ClockSeconds - before[i].ClockSeconds)
				t.Logf("%s, server %s: offered %.2f × %.1f/s, served %.1f/s (%.3f), mean %.1f ms", workload,
					servers[i].Server, factor, capacity, served, served/capacity, mean(latencies[i]))
				if factor > 1 && math.Abs(served/capacity-1) > 0.05 {
					t.Errorf("%s, server %s: knee at %.1f/s, want %.1f/s within 5 %%", workload, servers[i].Server,
						served, capacity)
				}
			}
		}
	}
}
