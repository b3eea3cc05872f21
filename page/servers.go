package page

import (
	"slices"

	"trimtab/prove"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/words"
)

// failing is the share of failed requests from which a server is said to fail.
const failing = 0.05

// servers are the rows of an upstream's table.
func servers(s *Step, g *vts.GroupSample) []Server {
	now, operator := words.Shares(s.InForce[g.Name]), words.Shares(s.Operator[g.Name])
	total := g.Requests()
	believed := beliefs(s.Explanation, g.Name)
	out := make([]Server, 0, len(g.Peers))
	for i := range g.Peers {
		p := &g.Peers[i]
		row := Server{Name: shown(p.Server), Weight: p.Weight, Share: now[p.Server],
			RatePerSec: p.RatePerSec(s.Sample.Interval)}
		if was, ok := operator[p.Server]; ok {
			row.OperatorShare = &was
		}
		if p.Requests > 0 {
			var t prove.Tally
			t.Add(p)
			row.P50, row.P99, row.Mean, row.Errors = number(t.Quantile(0.5)), number(t.Quantile(0.99)),
				number(t.MeanMS()), number(t.ErrorShare())
		}
		if total > 0 {
			row.Got = number(float64(p.Requests) / float64(total))
		}
		b := believed[p.Server]
		if b != nil && b.Slots > 0 {
			row.Slots, row.Used = number(b.Slots), number(b.Utilisation)
			row.CapacityPerS, row.SD = number(b.CapacityPerSec[g.Name]), number(b.ServiceSD[g.Name])
			row.ServiceMS = number(1e3 * b.ServiceSec[g.Name])
		}
		row.States = states(s, g.Name, p, b)
		out = append(out, row)
	}
	return out
}

// beliefs are what the tuner believes of the servers of a group.
func beliefs(e *tuner.Explanation, group string) map[string]*tuner.ServerExplanation {
	if e == nil {
		return nil
	}
	for i := range e.Pools {
		if slices.Contains(e.Pools[i].Groups, group) {
			out := make(map[string]*tuner.ServerExplanation, len(e.Pools[i].Servers))
			for j := range e.Pools[i].Servers {
				out[e.Pools[i].Servers[j].Server] = &e.Pools[i].Servers[j]
			}
			return out
		}
	}
	return nil
}

// states are what is out of the ordinary with a server.
func states(s *Step, group string, p *vts.PeerSample, b *tuner.ServerExplanation) []string {
	var out []string
	add := func(is bool, what string) {
		if is {
			out = append(out, what)
		}
	}
	for _, list := range []map[string]map[string]string{s.Ordered, s.Configured} {
		if what := list[group][p.Server]; what != "" {
			out = append(out, what)
		}
	}
	add(p.Backup, "backup")
	add(b != nil && b.Ejected, "ejected")
	add(p.Down && (b == nil || !b.Ejected), "down")
	add(b != nil && b.Saturated, "saturated")
	add(p.Requests > 0 && float64(p.Responses.Errors()) > failing*float64(p.Requests), "failing")
	add(!p.Known && !p.Down && !p.Backup, "idle")
	return out
}

// groupStates are those of any server of a group that call for a look.
func groupStates(s *Step, g *vts.GroupSample) []string {
	var out []string
	believed := beliefs(s.Explanation, g.Name)
	for i := range g.Peers {
		for _, state := range states(s, g.Name, &g.Peers[i], believed[g.Peers[i].Server]) {
			if state != "idle" && state != "backup" && state != s.Configured[g.Name][g.Peers[i].Server] &&
				!slices.Contains(out, state) {
				out = append(out, state)
			}
		}
	}
	return out
}
