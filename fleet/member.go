package fleet

import (
	"encoding/json"
	"fmt"

	"trimtab/weights"
)

// Hello is what a node says of itself when it joins, and every now and then.
type Hello struct {
	Schema  int    `json:"v"` // the newest that it reads
	Node    string `json:"node"`
	Boot    string `json:"boot"`
	Version string `json:"version"` // of the program
	AtMS    int64  `json:"at_ms"`
	// Shares are the node's own limits of servers' shares, by group and server; those of AnyServer are of all that are
	// not named.
	Shares map[string]map[string]weights.Limits `json:"shares,omitempty"`
}

// AnyServer stands for the servers of a group that are not named.
const AnyServer = "*"

// ParseHello reads what a node says of itself.
func ParseHello(text []byte) (Hello, error) {
	var h Hello
	if err := json.Unmarshal(text, &h); err != nil {
		return h, fmt.Errorf("read hello: %w", err)
	}
	if h.Schema < OldestSchema {
		return h, fmt.Errorf("read hello: %w: %d", ErrSchema, h.Schema)
	}
	if len(h.Shares) > MostGroups || len(h.Version) > MostName || len(h.Boot) > MostName {
		return h, fmt.Errorf("read hello of %.70q: too large", h.Node)
	}
	for group, servers := range h.Shares {
		if len(servers) > MostServers {
			return h, fmt.Errorf("read hello of %.70q: group %.70q: too large", h.Node, group)
		}
		for server, l := range servers {
			if err := l.Validate(); err != nil {
				return h, fmt.Errorf("read hello of %.70q: server %.70q: %w", h.Node, server, err)
			}
		}
	}
	return h, CheckNodeName(h.Node)
}

// within returns the settings of a group with the shares of its servers within the limits given.
func within(g weights.Group, limits map[string]weights.Limits) weights.Group {
	if len(limits) == 0 {
		return g
	}
	var names []string
	var shares []float64
	var bounds []weights.Limits
	all := g.Shares()
	for _, server := range sortedKeys(g) {
		if !g[server].Down {
			own, named := limits[server]
			if !named {
				own = limits[AnyServer]
			}
			names, shares, bounds = append(names, server), append(shares, all[server]), append(bounds, own)
		}
	}
	_ = weights.Bound(shares, bounds, 1) // limits that no shares keep are scaled; the node says that it refuses
	out := make(weights.Group, len(g))
	for server, s := range g {
		out[server] = s
	}
	for i, w := range weights.Quantise(shares) {
		out[names[i]] = weights.Setting{Weight: w}
	}
	return out
}
