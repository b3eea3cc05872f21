package reload

import (
	"context"
	"slices"
	"strings"

	"trimtab/nginx"
	"trimtab/vts"
)

// Filled is a status page whose servers have settings also where the page does not know them: the shim on an NGINX
// whose memory it does not read, which knows none, and nginx-module-vts, which calls a server down as well while NGINX
// passes over it because it failed. They are those of the configuration that NGINX is known to have loaded.
type Filled struct {
	vts.StatusSource // where the page is read
	Loaded           Loaded
}

// Loaded knows which configuration NGINX loaded at a time (ms since the Unix epoch), as nginx.Loaded does.
type Loaded interface {
	At(loadMsec int64) (*nginx.Config, error)
}

var _ vts.StatusSource = Filled{}

// Status implements vts.StatusSource.
func (f Filled) Status(ctx context.Context) (vts.Status, error) {
	st, err := f.StatusSource.Status(ctx)
	if err != nil || !st.CountsOnly() && (st.Settings() || !anyDown(st.Upstreams)) {
		return st, err
	}
	cfg, err := f.Loaded.At(st.LoadMsec)
	switch {
	case err != nil && st.CountsOnly():
		return vts.Status{}, err
	case err != nil: // an edit that is not loaded, or no configuration to read: the page is all there is
		return st, nil //nolint:nilerr // see above
	case st.CountsOnly():
		st.Upstreams = fillUpstreams(st.Upstreams, cfg)
	default:
		st.Upstreams = putUp(st.Upstreams, cfg)
	}
	return st, nil
}

func anyDown(page []vts.Upstream) bool {
	return slices.ContainsFunc(page, func(u vts.Upstream) bool {
		return slices.ContainsFunc(u.Peers, func(p vts.Peer) bool { return p.Down })
	})
}

// putUp leaves no server down that the configuration does not mark so. Upstreams that it does not have stay as they
// are.
func putUp(page []vts.Upstream, cfg *nginx.Config) []vts.Upstream {
	out := slices.Clone(page)
	for i := range out {
		g := &out[i]
		at := slices.IndexFunc(cfg.Upstreams, func(u *nginx.Upstream) bool {
			return u.Protocol == "http" && u.Name == g.Name
		})
		if at < 0 {
			continue
		}
		g.Peers = slices.Clone(g.Peers)
		for j := range g.Peers {
			p := &g.Peers[j]
			if !p.Down || p.Weight == 0 { // no server
				continue
			}
			p.Down = slices.ContainsFunc(cfg.Upstreams[at].Peers, func(c *nginx.Peer) bool {
				return c.Down && (c.Server == p.Server || c.Server == "") // a name's address may be any
			})
			p.Failed = !p.Down && p.MaxFails > 0 // without a limit the module's pages up to 0.2.7 call it down always
		}
	}
	return out
}

// fillUpstreams lists every http upstream of the configuration with all its servers: counted ones with their counters,
// the others with zeros. Groups of the page that are no upstreams are left out.
func fillUpstreams(page []vts.Upstream, cfg *nginx.Config) []vts.Upstream {
	counted := map[string][]vts.Peer{}
	var bounds []float64
	for _, u := range page {
		counted[u.Name] = u.Peers
		for _, p := range u.Peers {
			if bounds == nil {
				bounds = p.BucketsMsec
			}
		}
	}
	owners := map[string]int{} // how many upstreams have the server
	for _, u := range cfg.Upstreams {
		for _, p := range u.Peers {
			if u.Protocol == "http" && p.Server != "" {
				owners[p.Server]++
			}
		}
	}
	var out []vts.Upstream
	for _, u := range cfg.Upstreams {
		if u.Protocol != "http" {
			continue
		}
		g := vts.Upstream{Name: u.Name}
		rest := slices.Clone(counted[u.Name])
		take := func(server string) (vts.Peer, bool) {
			i := slices.IndexFunc(rest, func(p vts.Peer) bool { return p.Server == server })
			if i < 0 {
				return vts.Peer{}, false
			}
			p := rest[i]
			rest = slices.Delete(rest, i, i+1)
			return p, true
		}
		var named *nginx.Peer
		for _, c := range u.Peers {
			if c.Server == "" {
				named = c
				continue
			}
			if slices.ContainsFunc(g.Peers, func(p vts.Peer) bool { return p.Server == c.Server }) {
				continue
			}
			p, seen := take(c.Server)
			if !seen {
				p = vts.Peer{Server: c.Server, BucketsMsec: bounds, Buckets: make([]uint64, len(bounds))}
			}
			if owners[c.Server] == 1 {
				addCounts(&p, counted["::nogroups"])
			}
			p.NoWeight, p.Weight, p.Down, p.Backup = false, c.Weight, c.Down, c.Backup
			g.Peers = append(g.Peers, p)
		}
		for _, p := range rest {
			switch {
			case p.Pseudo(u.Name):
			case named != nil && named.Service == "": // one of the addresses of the name
				p.NoWeight, p.Weight, p.Down, p.Backup = false, named.Weight, named.Down, named.Backup
			}
			g.Peers = append(g.Peers, p)
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b vts.Upstream) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// addCounts adds what was counted without a group, as before an internal redirect or for FastCGI, to the only server
// that it can have been.
func addCounts(p *vts.Peer, loose []vts.Peer) {
	for _, o := range loose {
		if o.Server != p.Server {
			continue
		}
		p.Requests += o.Requests
		p.InBytes += o.InBytes
		p.OutBytes += o.OutBytes
		p.RequestMsec += o.RequestMsec
		p.ResponseMsec += o.ResponseMsec
		for i := range p.Responses {
			p.Responses[i] += o.Responses[i]
		}
		if len(p.Buckets) == len(o.Buckets) {
			p.Buckets = slices.Clone(p.Buckets)
			for i := range p.Buckets {
				p.Buckets[i] += o.Buckets[i]
			}
		}
	}
}
