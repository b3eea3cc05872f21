package vtstest

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"trimtab/nginx"
)

// World is a pretended load on one upstream of a real NGINX. It is an http.Handler that serves the page.
type World struct {
	Version  Version
	Config   string // nginx.conf
	PID      int    // of NGINX's master
	Upstream string
	Rate     float64 // requests per second
	Seed     uint64

	mu        sync.Mutex
	rng       *rand.Rand
	behaviour map[string]Behaviour
	played    time.Time // up to when
	next      time.Time // when the next request arrives
	ending    attempts
	counts    map[string]*counters
	listed    []string // servers ever in the configuration, in order
	now       []*nginx.Peer
	current   map[string]float64 // smooth weighted round robin
	workers   string
	loadMsec  int64
	total     uint64
}

// attempt is one under way.
type attempt struct {
	ends   time.Time
	server string
	Outcome
}

type attempts []attempt

func (a attempts) Len() int           { return len(a) }
func (a attempts) Less(i, j int) bool { return a[i].ends.Before(a[j].ends) }
func (a attempts) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *attempts) Push(x any)        { *a = append(*a, x.(attempt)) }
func (a *attempts) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

var _ http.Handler = (*World)(nil)

// Behave gives a server another behaviour from now on; the default is Healthy(24 ms).
func (w *World) Behave(server string, b Behaviour) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin()
	w.play(time.Now())
	w.behaviour[server] = b
}

// Counted returns how many attempts on each server have ended.
func (w *World) Counted() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]uint64{}
	for server, c := range w.counts {
		out[server] = c.requests
	}
	return out
}

// ServeHTTP answers with the page.
func (w *World) ServeHTTP(rw http.ResponseWriter, _ *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin()
	now := time.Now()
	w.play(now)
	text, err := w.Version.render(now, w.loadMsec, w.total, map[string][]serverRow{w.Upstream: w.rows()})
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(text)
}

func (w *World) begin() {
	if w.rng != nil {
		return
	}
	w.rng = rand.New(rand.NewPCG(w.Seed, 0x767473))
	w.behaviour, w.counts, w.current = map[string]Behaviour{}, map[string]*counters{}, map[string]float64{}
	w.played = time.Now()
	w.next = w.played
}

func (w *World) rows() []serverRow {
	var rows []serverRow
	for _, p := range w.now {
		rows = append(rows, w.counts[p.Server].row(p.Server, p.Weight, p.Down, p.Backup))
	}
	if w.Version.keepsGone() {
		for _, server := range w.listed {
			if !slices.ContainsFunc(w.now, func(p *nginx.Peer) bool { return p.Server == server }) {
				rows = append(rows, w.counts[server].row(server, 0, false, false))
			}
		}
	}
	return rows
}

// play takes in what NGINX runs and plays everything up to now.
func (w *World) play(now time.Time) {
	if workers := workersOf(w.PID); workers != "" && workers != w.workers {
		if cfg, err := nginx.ReadConfig(w.Config); err == nil {
			w.load(cfg, now)
			w.workers = workers
		}
	}
	for w.next.Before(now) {
		if p := w.pick(); p != nil {
			b := w.behaviour[p.Server]
			if b == nil {
				b = Healthy(24 * time.Millisecond)
			}
			o := b(w.rng)
			heap.Push(&w.ending, attempt{ends: w.next.Add(o.Lasts), server: p.Server, Outcome: o})
		}
		w.next = w.next.Add(time.Duration(w.rng.ExpFloat64() / w.Rate * float64(time.Second)))
	}
	for len(w.ending) > 0 && !w.ending[0].ends.After(now) {
		a := heap.Pop(&w.ending).(attempt)
		w.counts[a.server].add(a.Outcome)
		w.total++
	}
	w.played = now
}

// load takes over a configuration that NGINX has loaded.
func (w *World) load(cfg *nginx.Config, now time.Time) {
	w.now, w.loadMsec = nil, now.UnixMilli()
	clear(w.current)
	for _, u := range cfg.Upstreams {
		if u.Name != w.Upstream {
			continue
		}
		for _, p := range u.Peers {
			w.now = append(w.now, p)
			if w.counts[p.Server] == nil {
				w.counts[p.Server] = &counters{}
				w.listed = append(w.listed, p.Server)
			}
		}
	}
}

// pick chooses a server as NGINX's smooth weighted round robin does.
func (w *World) pick() *nginx.Peer {
	var best *nginx.Peer
	total := 0.0
	for _, p := range w.now {
		if p.Down || p.Backup {
			continue
		}
		w.current[p.Server] += float64(p.Weight)
		total += float64(p.Weight)
		if best == nil || w.current[p.Server] > w.current[best.Server] {
			best = p
		}
	}
	if best != nil {
		w.current[best.Server] -= total
	}
	return best
}

// workersOf names the workers of a master that are not shutting down; empty when there are none yet.
func workersOf(pid int) string {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return ""
	}
	var serving []string
	for _, child := range strings.Fields(string(list)) {
		title, err := os.ReadFile("/proc/" + child + "/cmdline")
		if err == nil && strings.HasPrefix(string(title), "nginx: worker process") && !strings.Contains(string(title),
			"shutting down") {
			serving = append(serving, child)
		}
	}
	return strings.Join(serving, " ")
}
