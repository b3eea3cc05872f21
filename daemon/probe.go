package daemon

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"trimtab/control"
)

// A probe is a request to a server that was taken out for failing. It is right when all of probeTimes answers are 2xx
// or 3xx, in two rounds in a row: of a server that fails half of its requests one in a thousand is.
const (
	probeTimes   = 5
	probeRounds  = 2
	probeTimeout = time.Second // of one request
)

// prober asks servers that are ejected for the path that their upstream's configuration names, and tells the policy
// what came of it. NGINX need not send them any requests to find out whether they have healed.
type prober struct {
	client *http.Client
	paths  map[string]string // by upstream

	mu    sync.Mutex
	right map[serverOf]int // rounds in a row in which all answers were right, of those to be asked; −1: not asked yet
}

type serverOf struct{ upstream, server string }

// probed is a policy that marks servers down for failing, and takes what came of asking them.
type probed interface {
	Ejected() map[string][]string
	Asked(upstream, server string, answers bool)
}

// newProber returns a prober for the upstreams of the configuration that have a probe; nil: none has.
func newProber(cfg *Config) *prober {
	paths := map[string]string{}
	for i := range cfg.Upstream {
		if u := &cfg.Upstream[i]; u.Probe != "" {
			paths[u.Name] = u.Probe
		}
	}
	if len(paths) == 0 {
		return nil
	}
	return &prober{paths: paths, right: map[serverOf]int{}, client: &http.Client{
		Timeout: probeTimeout,
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true,
			MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// tell tells the policy what the servers that it has taken out answer, and takes note of which these are.
func (p *prober) tell(policy control.Policy) {
	x, ok := policy.(probed)
	if p == nil || !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[serverOf]int{}
	for upstream, servers := range x.Ejected() {
		for _, server := range servers {
			if p.paths[upstream] == "" || strings.HasPrefix(server, "unix:") {
				continue
			}
			s := serverOf{upstream, server}
			n, known := p.right[s]
			if out[s] = n; !known {
				out[s] = -1
			}
			x.Asked(upstream, server, n >= probeRounds)
		}
	}
	p.right = out
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
	servers := slices.Collect(maps.Keys(p.right))
	p.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range servers {
		all.Go(func() {
			err := p.ask(ctx, s)
			p.mu.Lock()
			defer p.mu.Unlock()
			if n, still := p.right[s]; still {
				if p.right[s] = max(n, 0) + 1; err != nil {
					p.right[s] = 0
				}
			}
		})
	}
	all.Wait()
}

// ask asks a server probeTimes, until an answer is not right, which is the error.
func (p *prober) ask(ctx context.Context, s serverOf) error {
	for range probeTimes {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.server+p.paths[s.upstream], nil)
		if err != nil {
			return fmt.Errorf("ask server %s: %w", s.server, err)
		}
		req.Host = s.upstream
		req.Header.Set("User-Agent", "trimtab-probe")
		reply, err := p.client.Do(req)
		if err != nil {
			return fmt.Errorf("ask server %s: %w", s.server, err)
		}
		_ = reply.Body.Close() // nobody reads it
		if reply.StatusCode < 200 || reply.StatusCode > 399 {
			return fmt.Errorf("ask server %s: %s", s.server, reply.Status)
		}
	}
	return nil
}
