package helper

import (
	"trimtab/nginx"
	"trimtab/plain"
)

// JSON changes names that are not UTF-8, and NGINX takes such names: on the socket they are labels, which are read
// back.

// labelled returns settings with every name changed.
func labelled(s nginx.Settings, change func(string) string) nginx.Settings {
	if s == nil {
		return nil
	}
	out := make(nginx.Settings, len(s))
	for name, servers := range s {
		to := make(map[string]nginx.Setting, len(servers))
		for server, w := range servers {
			to[change(server)] = w
		}
		out[change(name)] = to
	}
	return out
}

// labelledStatus returns what a status page says with every name changed.
func labelledStatus(s nginx.Status, change func(string) string) nginx.Status {
	out := nginx.Status{LoadMsec: s.LoadMsec, Upstreams: make(map[string][]nginx.PeerStatus, len(s.Upstreams))}
	for name, peers := range s.Upstreams {
		to := make([]nginx.PeerStatus, len(peers))
		for i, p := range peers {
			to[i] = p
			to[i].Server = change(p.Server)
		}
		out.Upstreams[change(name)] = to
	}
	return out
}

// labelledUpstreams returns upstreams with every name changed.
func labelledUpstreams(list []Upstream, change func(string) string) []Upstream {
	out := make([]Upstream, len(list))
	for i, u := range list {
		u.Name, u.File, u.Zone, u.ZoneSize = change(u.Name), change(u.File), change(u.Zone), change(u.ZoneSize)
		if u.Resolver != nil {
			words := make([]string, len(u.Resolver))
			for j, word := range u.Resolver {
				words[j] = change(word)
			}
			u.Resolver = words
		}
		servers := make([]Line, len(u.Servers))
		for j, s := range u.Servers {
			s.Label, s.Server, s.Address = change(s.Label), change(s.Server), change(s.Address)
			servers[j] = s
		}
		u.Servers = servers
		out[i] = u
	}
	return out
}

func (r *request) label(change func(string) string) {
	r.Want, r.From = labelled(r.Want, change), labelled(r.From, change)
	r.Units, r.Blocked, r.Offered = labelledKeys(r.Units, change), labelledKeys(r.Blocked, change),
		labelledKeys(r.Offered, change)
}

// labelledKeys are values by other names.
func labelledKeys[V any](values map[string]V, change func(string) string) map[string]V {
	if values == nil {
		return nil
	}
	out := make(map[string]V, len(values))
	for name, v := range values {
		out[change(name)] = v
	}
	return out
}

func (r *reply) label(change func(string) string) {
	r.Units = labelledKeys(r.Units, change)
	if r.Look != nil {
		r.Look = &Look{Upstreams: labelledUpstreams(r.Look.Upstreams, change)}
	}
	if r.Upstreams != nil {
		r.Upstreams = labelledUpstreams(r.Upstreams, change)
	}
	if r.Receipt != nil {
		receipt := *r.Receipt
		receipt.Weights = labelled(receipt.Weights, change)
		r.Receipt = &receipt
	}
}

var (
	toSocket   = plain.Label
	fromSocket = plain.Unlabel
)
