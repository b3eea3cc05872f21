package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// wire stands between one daemon and the centre; cut, nothing passes, and neither end is told.
type wire struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	shut     bool
	conns    []net.Conn
	all      sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, to: to}
	w.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.all.Go(func() { w.pass(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.drop()
		w.all.Wait()
	})
	return w
}

func (w *wire) url() string { return "tls://" + w.listener.Addr().String() }

func (w *wire) pass(c net.Conn) {
	up, err := net.Dial("tcp", w.to)
	if err != nil {
		c.Close()
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, c, up)
	w.mu.Unlock()
	w.all.Go(func() { w.copy(up, c) })
	w.copy(c, up)
}

func (w *wire) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	_, _ = io.Copy(passing{w, to}, from) // until either end closes
}

// passing swallows what is written while the wire is cut.
type passing struct {
	w  *wire
	to io.Writer
}

func (p passing) Write(text []byte) (int, error) {
	p.w.mu.Lock()
	shut := p.w.shut
	p.w.mu.Unlock()
	if shut {
		return len(text), nil
	}
	return p.to.Write(text)
}

// cut has nothing pass, or heals the wire; what is half gone then cannot go on.
func (w *wire) cut(shut bool) {
	w.mu.Lock()
	w.shut = shut
	w.mu.Unlock()
	if !shut {
		w.drop()
	}
}

func (w *wire) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

// labRate is the requests per second at each node: two thirds of the capacity of all servers.
const labRate = 75

// story says when what happens on the testbed, counted from the start of the load.
type story struct {
	joins time.Duration // the third daemon starts
	cut   time.Duration // the second one is cut off: by then the fleet has taught a policy
	heals time.Duration
	ends  time.Duration
}

// newStory is the one of five minutes, with another measure of time for trying it out.
func newStory(scale float64) story {
	sec := func(v float64) time.Duration { return time.Duration(scale * v * float64(time.Second)) }
	return story{joins: sec(60), cut: sec(200), heals: sec(260), ends: sec(300)}
}

type phase struct {
	name     string
	from, to time.Duration
}

// phases are those of the recording, without what changes at their beginning.
func (s story) phases() []phase {
	return []phase{{"two nodes", s.joins / 3, s.joins}, {"three nodes", s.joins + s.joins/3, s.cut},
		{"the second cut off", s.cut, s.heals}, {"healed", s.heals, s.ends}}
}

// TestLabFleetOnTheTestbed is the recording of docs/lab/fleet.md: three NGINX before the same servers, each with load
// of its own; the daemon of the third joins late, that of the second is cut off for a minute. It plays that once with a
// fleet and once with three daemons that are alone. TRIMTAB_FLEET_LAB=1 runs it, for ten minutes; a smaller number is
// the part of that time.
func TestLabFleetOnTheTestbed(t *testing.T) {
	scale, err := strconv.ParseFloat(os.Getenv("TRIMTAB_FLEET_LAB"), 64)
	if err != nil {
		t.Skip("TRIMTAB_FLEET_LAB is not set: this takes ten minutes, and its latencies want a machine without other work")
	}
	s := newStory(scale)
	var found [2]map[string]latencies
	for i, name := range []string{"alone", "fleet"} {
		t.Run(name, func(t *testing.T) { found[i] = recordFleet(t, s, name == "fleet") })
	}
	if t.Failed() || found[0] == nil || found[1] == nil {
		return
	}
	t.Logf("phase / node: alone mean, p50, p99 ms and errors -> fleet")
	for _, p := range s.phases() {
		for n := range 3 {
			key := fmt.Sprintf("%s, edge-%d", p.name, n+1)
			alone, fleet := found[0][key], found[1][key]
			t.Logf("%-28s %v -> %v", key, alone, fleet)
			if most := alone.errors + len(fleet.ms)/100; fleet.errors > most {
				t.Errorf("%s: %d requests failed, %d of nodes alone", key, fleet.errors, alone.errors)
			}
		}
	}
	key := "the second cut off, edge-2"
	if a, f := found[0][key].mean(), found[1][key].mean(); f > 1.15*a {
		t.Errorf("%s: mean %.1f ms, alone %.1f: want no worse than alone", key, f, a)
	}
}

// latencies of requests, ms.
type latencies struct {
	ms     []float64
	errors int
}

func (l latencies) mean() float64 {
	sum := 0.0
	for _, v := range l.ms {
		sum += v
	}
	return sum / math.Max(1, float64(len(l.ms)))
}

func (l latencies) quantile(q float64) float64 {
	if len(l.ms) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(l.ms))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func (l latencies) String() string {
	return fmt.Sprintf("%.1f %.1f %.1f (%d, %d errors)", l.mean(), l.quantile(0.5), l.quantile(0.99), len(l.ms),
		l.errors)
}

// recordFleet plays the story once, and returns the latencies by phase and node.
func recordFleet(t *testing.T, s story, together bool) map[string]latencies {
	one := startBed(t)
	beds := []*tunedBed{one, one.another(2), one.another(3)}
	var c *centreBed
	var second *wire
	if together {
		c = startCentre(t, one.dir)
		second = newWire(t, strings.TrimPrefix(c.servers, "tls://"))
	}
	tune := func(i int) {
		b, extra := beds[i], "[regimes]\noff = true"
		if together {
			servers := c.servers
			if i == 1 {
				servers = second.url()
			}
			extra = c.joins(fmt.Sprint("edge-", i+1), servers)
		}
		b.configure(extra)
		start(t, "tune", "--config", b.config)
	}
	began := time.Now()
	if together {
		watchNodes(t, beds, began)
	}
	var loads []func() int
	for i, b := range beds {
		_, _, stop := start(t, "load", "--target", b.URL, "--workload", "compose-post", "--arrival", "exp", "--rate",
			fmt.Sprint(labRate), "--duration", s.ends.String(), "--seed", fmt.Sprint(i+1), "--results", b.results())
		loads = append(loads, stop)
	}
	until := func(at time.Duration) { <-time.After(time.Until(began.Add(at))) }
	tune(0)
	tune(1)
	until(s.joins)
	tune(2)
	if together {
		await(t, "the node that joined late to have the plan of the others", func() bool {
			w := fmt.Sprint(beds[2].weights()) // one of the others may try a policy
			return w == fmt.Sprint(one.weights()) || w == fmt.Sprint(beds[1].weights())
		})
		t.Logf("the node that joined late had the weights of the plan after %s steps, %.1f s after its start",
			beds[2].metric("trimtab_steps_total"), time.Since(began.Add(s.joins)).Seconds())
	}
	until(s.cut)
	if together {
		second.cut(true)
		t.Logf("cut off: policy %s, weights %v", beds[1].metric("trimtab_fleet_policy_version"), beds[1].weights())
		until(s.heals - 5*time.Second)
		for _, mode := range []string{"led", "student", "alone"} {
			t.Logf("before it heals: mode %s %s, weights %v, others %v", mode,
				beds[1].metric(`trimtab_fleet_mode{mode="`+mode+`"}`), beds[1].weights(), one.weights())
		}
	}
	until(s.heals)
	if together {
		second.cut(false)
		await(t, "the second node to be led again", beds[1].counted(`trimtab_fleet_mode{mode="led"}`))
		t.Logf("led again %.1f s after the wire was whole", time.Since(began.Add(s.heals)).Seconds())
	}
	until(s.ends + time.Second)
	out := map[string]latencies{}
	for i, b := range beds {
		loads[i]()
		read(t, b.results(), func(r *vegeta.Result) {
			at := r.Timestamp.Sub(began)
			for _, p := range s.phases() {
				if at < p.from || at >= p.to {
					continue
				}
				key := fmt.Sprintf("%s, edge-%d", p.name, i+1)
				l := out[key]
				l.ms = append(l.ms, float64(r.Latency)/1e6)
				if r.Code != 200 {
					l.errors++
				}
				out[key] = l
			}
		})
	}
	return out
}

// watchNodes logs, until the test ends, what nodes decide by and what they have in force, whenever that changes.
func watchNodes(t *testing.T, beds []*tunedBed, began time.Time) {
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		was := make([]string, len(beds))
		beat := time.NewTicker(500 * time.Millisecond)
		defer beat.Stop()
		for {
			select {
			case <-done:
				return
			case <-beat.C:
			}
			for i, b := range beds {
				mode := "off"
				for _, m := range []string{"led", "trial", "student", "alone"} {
					if b.metric(`trimtab_fleet_mode{mode="`+m+`"}`) == "1" {
						mode = m
					}
				}
				now := fmt.Sprintf("edge-%d: %s, plan %s, policy %s, weights %v", i+1, mode, b.metric("trimtab_fleet_plan"),
					b.metric("trimtab_fleet_policy_version"), b.weights())
				if now != was[i] {
					was[i] = now
					t.Logf("%6.1f s  %s, step %s", time.Since(began).Seconds(), now, b.metric("trimtab_steps_total"))
				}
			}
		}
	})
	t.Cleanup(func() { close(done); all.Wait() })
}

func (b *tunedBed) results() string { return filepath.Join(b.dir, "results.gob") }

func read(t *testing.T, path string, each func(*vegeta.Result)) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for decode := vegeta.NewDecoder(f); ; {
		var r vegeta.Result
		if err := decode(&r); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		each(&r)
	}
}
