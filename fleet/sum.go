package fleet

import (
	"fmt"
	"math"
	"slices"
	"time"

	"trimtab/vts"
)

// What one node may say beside the others.
const (
	mostFactor = 2.0  // times the median, and half of it
	slackMS    = 1.0  // in which no two nodes contradict each other: NGINX counts whole milliseconds
	slackFail  = 0.05 // of shares that fail
	farFactor  = mostFactor * mostFactor
	enough     = 8 // requests that measure a server
	// witnesses are how many nodes have to measure a server before any of them can be wrong.
	witnesses = 3
	// clearly is how many standard deviations of a count are no chance.
	clearly = 4.0
)

// Part is what one node adds to a sum.
type Part struct {
	Node   string
	Sample *Sample
	// Scale is what its counts are multiplied by, so that they are those of one interval of the sum.
	Scale float64
}

// Contradiction is what a node says of a server that all others see otherwise.
type Contradiction struct {
	Node, What string
}

// Sum adds up what nodes saw in one interval. Requests of all groups of the same name and servers of the same address are added; a group
// has the servers that any node has.
//
// How a server answers, and how requests are spread, are means over nodes, weighted by requests. Where at least three nodes measured a
// server, nobody's weight is above twice that of the median node; a mean response time counts as at most twice the median of the nodes
// and at least half of it, a share of failures as at most twice the median and five in a hundred, a share of the requests as at most twice
// and at least half of the median. What is far beyond that is a contradiction. What is within it is added up exactly.
func Sum(parts []Part, at time.Time, interval time.Duration) (vts.Sample, []Contradiction) {
	s := vts.Sample{At: at, Interval: interval}
	var found []Contradiction
	names := map[string][]member{}
	for p := range parts {
		for i := range parts[p].Sample.Groups {
			g := &parts[p].Sample.Groups[i]
			names[g.Name] = append(names[g.Name], member{part: &parts[p], group: g})
		}
	}
	for _, name := range sortedKeys(names) {
		g, wrong := sumGroup(name, names[name])
		s.Groups = append(s.Groups, g)
		found = append(found, wrong...)
	}
	for i := range s.Groups {
		s.Connections.Requests += s.Groups[i].Requests()
	}
	s.Connections.Accepted, s.Connections.Handled = s.Connections.Requests, s.Connections.Requests
	return s, found
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// member is one node's part of a group.
type member struct {
	part  *Part
	group *Group
	total float64 // requests
}

// row is what one member says of one server.
type row struct {
	m        *member
	j        int     // of the server in the member's group
	n        float64 // requests
	mean     float64 // response time, ms
	fail     float64 // share
	share    float64 // of the member's requests
	say      float64 // weight
	meanUsed float64
	failUsed float64
}

func sumGroup(name string, members []member) (vts.GroupSample, []Contradiction) {
	out := vts.GroupSample{Name: name}
	rows := map[string][]row{}
	var order []string
	total := 0.0
	for i := range members {
		m := &members[i]
		for j := range m.group.Servers {
			m.total += float64(m.group.Requests[j]) * m.part.Scale
		}
		total += m.total
		out.NoLive += whole(float64(m.group.NoLive) * m.part.Scale)
		out.Refused += whole(float64(m.group.Turned) * m.part.Scale)
		for j, server := range m.group.Servers {
			if rows[server] == nil {
				order = append(order, server)
			}
			rows[server] = append(rows[server], newRow(m, j))
		}
	}
	slices.Sort(order)
	var found []Contradiction
	shares, sum := make([]float64, len(order)), 0.0
	for i, server := range order {
		var wrong []Contradiction
		shares[i], wrong = agree(name, server, rows[server])
		found = append(found, wrong...)
		sum += shares[i]
	}
	for i, server := range order {
		requests := 0.0
		if sum > 0 {
			requests = total * shares[i] / sum
		}
		out.Peers = append(out.Peers, peer(server, rows[server], requests))
	}
	return out, found
}

func newRow(m *member, j int) row {
	g := m.group
	r := row{m: m, j: j, n: float64(g.Requests[j]) * m.part.Scale}
	if n := float64(g.Requests[j]); n > 0 {
		r.mean, r.fail = float64(g.ResponseMS[j])/n, float64(g.Responses[j].Errors())/n
	}
	if m.total > 0 {
		r.share = r.n / m.total
	}
	r.say, r.meanUsed, r.failUsed = r.n, r.mean, r.fail
	return r
}

// agree bounds what each row says by what the others say, and returns the share of all requests that the server had.
func agree(group, server string, rows []row) (share float64, found []Contradiction) {
	var counts, means, fails []float64
	spread, n, all := 0, 0.0, 0.0
	for i := range rows {
		r := &rows[i]
		if r.m.group.Requests[r.j] >= enough {
			counts, means, fails = append(counts, r.n), append(means, r.mean), append(fails, r.fail)
		}
		if r.m.total >= enough { // it has something to spread
			spread++
		}
		n, all = n+r.n, all+r.m.total
	}
	if len(means) >= witnesses {
		most, mean, fail := mostFactor*median(counts), median(means), median(fails)
		for i := range rows {
			if what := rows[i].bound(most, mean, fail); what != "" {
				found = append(found, Contradiction{rows[i].m.part.Node, fmt.Sprintf("group %s: server %s: %s", group, server, what)})
			}
		}
	}
	switch {
	case spread >= witnesses:
		share = spreads(rows)
	case all > 0:
		share = n / all
	}
	return share, found
}

// bound bounds what a row says by the median of the nodes, and says what no other node confirms; empty: nothing.
func (r *row) bound(mostSay, mean, fail float64) string {
	n := float64(r.m.group.Requests[r.j])
	r.say = math.Min(r.say, mostSay)
	r.meanUsed = math.Min(math.Max(r.mean, mean/mostFactor-slackMS), mean*mostFactor+slackMS)
	leastFail, mostFail := math.Max(0, fail/mostFactor-slackFail), math.Min(1, fail*mostFactor+slackFail)
	r.failUsed = math.Min(math.Max(r.fail, leastFail), mostFail)
	switch {
	case n < enough:
	case r.mean > mean*farFactor+farFactor*slackMS, r.mean < mean/farFactor-slackMS:
		return fmt.Sprintf("it answers this node in %.3g ms on average, others in %.3g ms", r.mean, mean)
	case r.fail-mostFail > clearly*math.Sqrt(mostFail*(1-mostFail)/n)+slackFail:
		return fmt.Sprintf("%.0f %% of its answers to this node are 5xx, %.0f %% of those to others", 100*r.fail, 100*fail)
	}
	return ""
}

// spreads is the share of the requests that a server had: the exact one where all nodes agree.
func spreads(rows []row) (share float64) {
	var shares, totals []float64
	for i := range rows {
		if rows[i].m.total >= enough {
			shares, totals = append(shares, rows[i].share), append(totals, rows[i].m.total)
		}
	}
	middle, mostSay := median(shares), mostFactor*median(totals)
	sum := 0.0
	for i := range rows {
		r := &rows[i]
		if r.m.total == 0 {
			continue
		}
		slack := clearly * math.Sqrt(middle*(1-middle)/r.m.total) // chance is no lie
		say := math.Min(r.m.total, mostSay)
		sum += say
		share += say * math.Min(math.Max(r.share, middle/mostFactor-slack), middle*mostFactor+slack)
	}
	return share / sum
}

// median of values; of none 0.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// peer is a server's entry, of the requests given and what the rows say of their answers.
func peer(server string, rows []row, requests float64) vts.PeerSample {
	p := vts.PeerSample{Server: server, Requests: whole(requests)}
	p.Known = p.Requests > 0
	say, weight := 0.0, 0.0
	var classes [5]float64
	var response, request, in, out float64
	var bounds []float64
	down := true
	for i := range rows {
		r := &rows[i]
		g := r.m.group
		weight += float64(g.Weights[r.j])
		down = down && g.down(r.j)
		n := float64(g.Requests[r.j])
		if n == 0 || r.say == 0 {
			continue
		}
		say += r.say
		for c := range classes {
			classes[c] += r.say * float64(g.Responses[r.j][c]) / n
		}
		moved := r.say * (r.failUsed - r.fail) // between good answers and failures
		classes[4] += moved
		classes[1] -= moved
		response += r.say * r.meanUsed
		whole := float64(g.RequestMS[r.j]) / n
		request += r.say * (r.meanUsed + math.Min(math.Max(whole-r.mean, 0), farFactor*r.meanUsed+farFactor*slackMS))
		if len(g.InBytes) > 0 {
			in += r.say * float64(g.InBytes[r.j]) / n
		}
		if len(g.OutBytes) > 0 {
			out += r.say * float64(g.OutBytes[r.j]) / n
		}
		if bounds == nil && len(g.Buckets) > 0 && len(g.Buckets[r.j]) > 0 {
			bounds = g.BucketsMS
		}
	}
	p.Weight, p.Down = int(math.Round(weight/float64(len(rows)))), down
	if say == 0 || p.Requests == 0 {
		return p
	}
	n := float64(p.Requests)
	p.Responses = split(p.Requests, classes)
	p.ResponseMsec, p.RequestMsec = whole(n*response/say), whole(n*request/say)
	p.InBytes, p.OutBytes = whole(n*in/say), whole(n*out/say)
	p.BucketsMsec, p.Buckets = histogram(rows, bounds, p.Requests)
	return p
}

// split makes whole counts that sum to n of parts.
func split(n uint64, parts [5]float64) (out vts.Responses) {
	sum := 0.0
	for i := range parts {
		parts[i] = math.Max(0, parts[i])
		sum += parts[i]
	}
	if sum == 0 {
		return out
	}
	left, most := n, 1
	for i := range parts {
		out[i] = min(left, whole(float64(n)*parts[i]/sum))
		left -= out[i]
		if parts[i] > parts[most] {
			most = i
		}
	}
	out[most] += left
	return out
}

// histogram adds those of the rows that have the same bounds.
func histogram(rows []row, bounds []float64, n uint64) ([]float64, []uint64) {
	if len(bounds) == 0 {
		return nil, nil
	}
	sums, say := make([]float64, len(bounds)), 0.0
	for i := range rows {
		r := &rows[i]
		g := r.m.group
		if len(g.Buckets) == 0 || !slices.Equal(g.BucketsMS, bounds) || len(g.Buckets[r.j]) != len(bounds) || g.Requests[r.j] == 0 || r.say == 0 {
			continue
		}
		say += r.say
		for b, c := range g.Buckets[r.j] {
			sums[b] += r.say * float64(c) / float64(g.Requests[r.j])
		}
	}
	if say == 0 {
		return nil, nil
	}
	out, before := make([]uint64, len(bounds)), uint64(0)
	for b := range sums {
		out[b] = min(max(before, whole(float64(n)*sums[b]/say)), n)
		before = out[b]
	}
	return bounds, out
}

func whole(v float64) uint64 {
	if !(v > 0) {
		return 0
	}
	return uint64(math.Round(v))
}
