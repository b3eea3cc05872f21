package daemon

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"trimtab/control"
	"trimtab/vts"
)

// A probe is a request to a server that was taken out for failing. It is right when all of probeTimes answers are, in
// two rounds in a row: of a server that fails a quarter of its requests one in a hundred is, of one that fails half of
// them one in 65,000.
const (
	probeTimes   = 8
	probeRounds  = 2
	probeTimeout = time.Second // of one request
	probeOff     = "off"       // in place of a path: nobody is asked
)

// prober asks servers that are ejected for the path that their upstream's configuration names, and tells the policy
// what came of it: NGINX need not send them any requests to find out whether they have healed. Where none is named,
// they are compared with their peers.
type prober struct {
	client *http.Client
	paths  map[string]string // by upstream, or probeOff
	limit  time.Duration     // of one request
	now    func() time.Time

	mu   sync.Mutex
	out  map[serverOf]*convalescent
	last *vts.Sample // that there was
}

type serverOf struct{ upstream, server string }

// convalescent is a server that is out.
type convalescent struct {
	since time.Time
	peers []string // that may be asked beside it
	right int      // rounds in a row in which all answers were
	known bool     // there was a round that told something
	odd   bool     // the last one showed it neither to fail nor to do as its peers
}

// probed is a policy that marks servers down for failing, and takes what came of asking them.
type probed interface {
	Ejected() map[string][]string
	Asked(upstream, server string, answers bool)
}

// newProber returns a prober; nil: no server is ever taken out for failing.
func newProber(cfg *Config) *prober {
	if !cfg.ejects() {
		return nil
	}
	paths := map[string]string{}
	for i := range cfg.Upstream {
		paths[cfg.Upstream[i].Name] = cfg.Upstream[i].Probe
	}
	client := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true,
			MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &prober{paths: paths, limit: probeTimeout, now: time.Now, out: map[serverOf]*convalescent{}, client: client}
}

// saw takes note of a sample, which shows who the peers of a server are; nil: there was none.
func (p *prober) saw(sample *vts.Sample) {
	if p == nil || sample == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = sample
}

// tell tells the policy what the servers that it has taken out answer, and takes note of which these are.
func (p *prober) tell(policy control.Policy) {
	x, ok := policy.(probed)
	if p == nil || !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[serverOf]*convalescent{}
	for upstream, servers := range x.Ejected() {
		peers := peersOf(p.last, upstream, servers)
		for _, server := range servers {
			path := p.paths[upstream]
			if path == probeOff || strings.HasPrefix(server, "unix:") {
				continue
			}
			s := serverOf{upstream, server}
			c := p.out[s]
			if c == nil {
				c = &convalescent{since: p.now()}
			}
			c.peers = peers
			if out[s] = c; path != "" || c.known {
				x.Asked(upstream, server, c.right >= probeRounds || c.odd && p.now().Sub(c.since) >= probeDoubt)
			}
		}
	}
	p.out = out
}

// run asks in every interval until ctx ends.
func (p *prober) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.round(ctx)
		}
	}
}

// round asks every server that is out, all at once.
func (p *prober) round(ctx context.Context) {
	p.mu.Lock()
	servers := make(map[serverOf][]string, len(p.out))
	for s, c := range p.out {
		servers[s] = c.peers
	}
	p.mu.Unlock()
	var all sync.WaitGroup
	for s, peers := range servers {
		all.Go(func() {
			v := p.look(ctx, s, peers)
			p.mu.Lock()
			defer p.mu.Unlock()
			if c := p.out[s]; c != nil {
				c.note(v)
			}
		})
	}
	all.Wait()
}

// look asks a server for what its upstream's configuration names, else as its peers.
func (p *prober) look(ctx context.Context, s serverOf, peers []string) verdict {
	path := p.paths[s.upstream]
	if path == "" {
		return p.compare(ctx, s, peers)
	}
	for range probeTimes {
		if code, err := p.ask(ctx, s, path, p.limit); err != nil || code < 200 || code > 399 {
			return seenFailing
		}
	}
	return seenWell
}

// ask asks a server once and returns the status of its answer.
func (p *prober) ask(ctx context.Context, s serverOf, path string, limit time.Duration) (int, error) {
	ctx, end := context.WithTimeout(ctx, limit)
	defer end()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.server+path, nil)
	if err != nil {
		return 0, fmt.Errorf("ask server %s: %w", s.server, err)
	}
	req.Host = s.upstream
	req.Header.Set("User-Agent", "trimtab-probe")
	reply, err := p.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask server %s: %w", s.server, err)
	}
	_ = reply.Body.Close() // nobody reads it
	return reply.StatusCode, nil
}
