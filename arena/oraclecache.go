package arena

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"trimtab/deathstarbench"
	"trimtab/weights"
)

// OracleCache keeps the oracle's weights on disk, one small JSON file per steady phase and balancing method, named by
// a hash of all that they depend on. It is safe for concurrent use; a phase is searched once.
type OracleCache struct {
	dir string // empty: memory only

	mu    sync.Mutex
	known map[string]*entry
}

type entry struct {
	once    sync.Once
	weights weights.Set
	err     error
}

// searchVersion changes when the search or the simulator finds other weights for the same phase.
const searchVersion = 2

// NewOracleCache returns a cache in dir, which is made when it is first written; an empty dir keeps all in memory.
func NewOracleCache(dir string) *OracleCache {
	return &OracleCache{dir: dir, known: map[string]*entry{}}
}

// find returns the best weights of the phase, from memory, disk or a search.
func (c *OracleCache) find(ctx context.Context, k Case, p Phase, near weights.Set) (weights.Set, error) {
	key, err := phaseKey(k, p)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	e := c.known[key]
	if e == nil {
		e = &entry{}
		c.known[key] = e
	}
	c.mu.Unlock()
	e.once.Do(func() {
		if e.weights = c.read(key, k.Scenario); e.weights != nil {
			return
		}
		if e.weights, e.err = bestWeights(ctx, k, p, near); e.err == nil {
			e.err = c.write(key, e.weights)
		}
	})
	return e.weights, e.err
}

// phaseKey hashes what the best weights depend on.
func phaseKey(k Case, p Phase) (string, error) {
	sc := p.steady(k.Scenario, time.Minute, 0)
	sc.Name, sc.ControlInterval = "", 0
	for i := range sc.Upstreams {
		if sc.Upstreams[i].Method == "" {
			sc.Upstreams = append([]deathstarbench.Upstream(nil), sc.Upstreams...)
			sc.Upstreams[i].Method = deathstarbench.RoundRobin
		}
	}
	text, err := json.Marshal(struct {
		Version   int
		Scenario  *deathstarbench.Scenario
		Method    string
		Deadlines map[string]time.Duration
	}{searchVersion, sc, k.Method, k.Deadlines})
	if err != nil {
		return "", fmt.Errorf("hash the phase: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12]), nil
}

func (c *OracleCache) path(key string) string { return filepath.Join(c.dir, "oracle-"+key+".json") }

// read returns nil when there is nothing usable; what is unreadable is found again and written over.
func (c *OracleCache) read(key string, sc *deathstarbench.Scenario) weights.Set {
	if c.dir == "" {
		return nil
	}
	text, err := os.ReadFile(c.path(key))
	if err != nil {
		return nil
	}
	var stored map[string]map[string]int
	if json.Unmarshal(text, &stored) != nil {
		return nil
	}
	w := weights.Set{}
	for group, servers := range stored {
		w[group] = make(map[string]weights.Setting, len(servers))
		for server, n := range servers {
			weight, err := weights.New(n)
			if err != nil {
				return nil
			}
			w[group][server] = weights.Setting{Weight: weight}
		}
	}
	if len(w) != len(sc.Upstreams) || CheckWeights(sc, w) != nil {
		return nil
	}
	return w
}

func (c *OracleCache) write(key string, w weights.Set) error {
	if c.dir == "" {
		return nil
	}
	text, err := json.MarshalIndent(numbers(w), "", "  ")
	if err != nil {
		return fmt.Errorf("store the oracle's weights: %w", err)
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return fmt.Errorf("store the oracle's weights: %w", err)
	}
	if err := replaceFile(c.path(key), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("store the oracle's weights: %w", err)
	}
	return nil
}

// numbers are weights as reports write them: by upstream and server, 0 for a server that is down.
func numbers(w weights.Set) map[string]map[string]int {
	out := make(map[string]map[string]int, len(w))
	for group, servers := range w {
		m := make(map[string]int, len(servers))
		for server, s := range servers {
			if !s.Down {
				m[server] = s.Weight.Int()
			} else {
				m[server] = 0
			}
		}
		out[group] = m
	}
	return out
}
