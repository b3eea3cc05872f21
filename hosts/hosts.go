package hosts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Host says where the metrics of a server's machine are. Several servers may be on one machine.
type Host struct {
	Server string // as the status page names it
	URL    string // of node_exporter's page
}

// Validate reports what is wrong.
func (h Host) Validate() error {
	u, err := url.Parse(h.URL)
	switch {
	case h.Server == "":
		return errors.New("server: want its address as the status page shows it")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("url %q: want http://host:9100/metrics", h.URL)
	}
	return nil
}

// Config says how pages are read. The zero value of a field means its default.
type Config struct {
	Interval   time.Duration // between two readings of a page; default 5 s
	Timeout    time.Duration // of a reading; default 3 s
	StaleAfter time.Duration // age from which on a reading does not count; default 5 intervals
	Logger     *slog.Logger  // told when a page begins to fail and when it works again; default: nobody
}

// Reading is what is known of one machine. Shares are of 0…1.
type Reading struct {
	Server string `json:"server"`
	// Stale says that there was no good page lately, or none twice yet: the figures are of At, or none.
	Stale   bool      `json:"stale"`
	Problem string    `json:"problem,omitempty"` // why the last page could not be read
	At      time.Time `json:"at"`
	// CPU is the busy share of all processors, Memory the used share of memory. −1: the page does not say.
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	// Received and Sent are of all interfaces but lo, bytes per second; −1: the page does not say.
	Received float64 `json:"received_bytes_per_s"`
	Sent     float64 `json:"sent_bytes_per_s"`
	// Pressure are the shares of time in which some task waited for a processor, for memory and for input or output;
	// −1: the page does not say.
	CPUPressure    float64 `json:"cpu_pressure"`
	MemoryPressure float64 `json:"memory_pressure"`
	IOPressure     float64 `json:"io_pressure"`
}

// Hosts reads the pages of machines.
type Hosts struct {
	cfg    Config
	hosts  []Host
	client *http.Client
	mu     sync.Mutex
	states []state
}

// state is what is known of one page.
type state struct {
	last    counters
	at      time.Time // of last; zero: there was none
	reading Reading
	failing bool
}

// longestPage bounds a page: node_exporter's has about 100 KiB.
const longestPage = 8 << 20

// New returns hosts whose pages have not been read yet.
func New(list []Host, c Config) (*Hosts, error) {
	for i, h := range list {
		if err := h.Validate(); err != nil {
			return nil, fmt.Errorf("host %d: %w", i+1, err)
		}
	}
	if c.Interval == 0 {
		c.Interval = 5 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 3 * time.Second
	}
	if c.StaleAfter == 0 {
		c.StaleAfter = 5 * c.Interval
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	h := &Hosts{cfg: c, hosts: list, states: make([]state, len(list)), client: &http.Client{
		Timeout: c.Timeout, Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 1,
			IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for i := range h.states {
		h.states[i].reading = Reading{Server: list[i].Server, Stale: true, CPU: -1, Memory: -1, Received: -1, Sent: -1,
			CPUPressure:    -1,
			MemoryPressure: -1, IOPressure: -1}
	}
	return h, nil
}

// Run reads the pages until the context is cancelled.
func (h *Hosts) Run(ctx context.Context) error {
	defer h.client.CloseIdleConnections()
	tick := time.NewTicker(h.cfg.Interval)
	defer tick.Stop()
	for {
		h.Step(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Step reads all pages once, at the same time.
func (h *Hosts) Step(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range h.hosts {
		wg.Go(func() {
			page, err := h.read(ctx, h.hosts[i].URL)
			if ctx.Err() == nil {
				h.take(i, page, time.Now(), err)
			}
		})
	}
	wg.Wait()
}

func (h *Hosts) read(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", resp.Status)
	}
	page, err := io.ReadAll(io.LimitReader(resp.Body, longestPage+1))
	if err == nil && len(page) > longestPage {
		err = fmt.Errorf("more than %d bytes", longestPage)
	}
	return page, err
}

// take takes in a page, or why there is none.
func (h *Hosts) take(i int, page []byte, at time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.states[i]
	var c counters
	if err == nil {
		if c = parse(page); !c.hasCPU && !c.hasMemory {
			err = errors.New("no page of node_exporter")
		}
	}
	if err != nil {
		s.reading.Problem = err.Error()
		if !s.failing {
			h.cfg.Logger.Warn("host metrics cannot be read", "server", h.hosts[i].Server, "error", err)
		}
		s.failing = true
		return
	}
	if s.failing {
		h.cfg.Logger.Info("host metrics can be read again", "server", h.hosts[i].Server)
	}
	s.failing, s.reading.Problem = false, ""
	before, seconds := s.last, at.Sub(s.at).Seconds()
	first := s.at.IsZero()
	s.last, s.at = c, at
	if first || seconds <= 0 || c.cpu < before.cpu { // nothing to compare with, or the machine began anew
		return
	}
	s.reading.At = at
	s.reading.CPU, s.reading.Memory = -1, -1
	if busy := c.cpu - before.cpu; c.hasCPU && before.hasCPU && busy > 0 {
		s.reading.CPU = share(1 - (c.idle-before.idle)/busy)
	}
	if c.hasMemory {
		s.reading.Memory = share(1 - c.available/c.memory)
	}
	s.reading.Received, s.reading.Sent = -1, -1
	if c.net && before.net {
		s.reading.Received, s.reading.Sent = max(0, c.received-before.received)/seconds,
			max(0, c.sent-before.sent)/seconds
	}
	for k, to := range []*float64{&s.reading.CPUPressure, &s.reading.MemoryPressure, &s.reading.IOPressure} {
		*to = -1
		if c.hasPressure && before.hasPressure {
			*to = share((c.pressed[k] - before.pressed[k]) / seconds)
		}
	}
}

func share(v float64) float64 { return min(1, max(0, v)) }

// Now returns what is known of every host at a time, in the order in which they were given.
func (h *Hosts) Now(at time.Time) []Reading {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Reading, len(h.states))
	for i := range h.states {
		out[i] = h.states[i].reading
		out[i].Stale = out[i].At.IsZero() || at.Sub(out[i].At) > h.cfg.StaleAfter
	}
	return out
}
