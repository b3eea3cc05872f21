package rival

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"trimtab/objective"
	"trimtab/vts"
	"trimtab/weights"
)

// Shape is what a model was trained for: upstream groups with their servers, in the order of the status page. A
// network's inputs and outputs belong to them, so it can be played nowhere else.
type Shape struct {
	Groups []ShapeGroup `json:"groups"`
	// Hosts says that what servers' machines tell is among the inputs. A machine that says nothing is no other world.
	Hosts bool `json:"hosts,omitempty"`
}

// ShapeGroup is one upstream group.
type ShapeGroup struct {
	Name    string   `json:"name"`
	Servers []string `json:"servers"`
}

// ShapeOf is the shape of the world that a sample is of.
func ShapeOf(s vts.Sample) Shape {
	var out Shape
	for _, g := range s.Groups {
		group := ShapeGroup{Name: g.Name}
		for _, p := range g.Peers {
			group.Servers = append(group.Servers, p.Server)
		}
		out.Groups = append(out.Groups, group)
	}
	return out
}

// Difference says in what way another shape differs; empty: in none.
func (s Shape) Difference(o Shape) string {
	if len(s.Groups) != len(o.Groups) {
		return fmt.Sprintf("%d upstreams in place of %d", len(o.Groups), len(s.Groups))
	}
	for i, g := range s.Groups {
		other := o.Groups[i]
		switch {
		case g.Name != other.Name:
			return fmt.Sprintf("upstream %s in place of %s", other.Name, g.Name)
		case !slices.Equal(g.Servers, other.Servers):
			return fmt.Sprintf("upstream %s has servers %s in place of %s", g.Name, strings.Join(other.Servers, ", "),
				strings.Join(g.Servers, ", "))
		}
	}
	return ""
}

// servers is the number of servers of all groups, each counted in each of its groups.
func (s Shape) servers() int {
	n := 0
	for _, g := range s.Groups {
		n += len(g.Servers)
	}
	return n
}

// perServer are the features of a server in a group.
func (s Shape) perServer() int {
	if s.Hosts {
		return ownFeatures + hostFeatures
	}
	return ownFeatures
}

const (
	ownFeatures  = 4 // that the status page tells
	hostFeatures = 3 // of its machine
	// unknownHost stands for a share that a machine does not tell: no share is below 0.
	unknownHost = -1
)

// features is the number of inputs of a learner.
func (s Shape) features() int { return 1 + len(s.Groups) + s.perServer()*s.servers() }

// featuresTo writes what a learner sees of an interval: log(1+requests in flight), for each group log(1+rate), and for
// each of its servers log of the share of the weights, log(1+ms) of the mean response, log(1+requests in flight) and
// the share of failures; with Hosts then of its machine the shares of processor and memory in use and the pressure on
// the processor. The sample has the shape's groups.
func (s Shape) featuresTo(x []float64, sample vts.Sample, inForce weights.Set) {
	x[0] = pressure(sample)
	i := 1
	for _, g := range sample.Groups {
		x[i] = math.Log1p(float64(g.Requests()) / max(sample.Interval.Seconds(), 1e-3))
		i++
		shares := inForce[g.Name].Shares()
		for _, p := range g.Peers {
			failed := 0.0
			if p.Requests > 0 {
				failed = float64(p.Responses.Errors()) / float64(p.Requests)
			}
			x[i] = math.Log(max(shares[p.Server], 1e-3))
			x[i+1] = math.Log1p(float64(p.MeanResponse().Microseconds()) / 1e3)
			x[i+2] = math.Log1p(p.InFlight(sample.Interval))
			x[i+3] = failed
			i += ownFeatures
			if s.Hosts {
				hostTo(x[i:i+hostFeatures], sample.Hosts, p.Server)
				i += hostFeatures
			}
		}
	}
}

// hostTo writes what the machine of a server says.
func hostTo(x []float64, hosts []vts.HostSample, server string) {
	x[0], x[1], x[2] = unknownHost, unknownHost, unknownHost
	for i := range hosts {
		if h := &hosts[i]; h.Server == server {
			x[0], x[1], x[2] = h.CPU, h.Memory, h.CPUPressure
		}
	}
}

// pressure is log(1+requests that NGINX is answering now).
func pressure(s vts.Sample) float64 { return math.Log1p(float64(s.Connections.Writing)) }

// backlog is log(1+by how many deadlines' worth the requests that NGINX is answering are more than one deadline's): by
// Little's law 0 while responses keep their deadlines, where a count of one moment would be nothing but noise.
func backlog(s vts.Sample, targets map[string]objective.Target) float64 {
	within := 1.0
	for _, g := range s.Groups {
		within += float64(g.Requests()) / max(s.Interval.Seconds(), 1e-3) * targets[g.Name].Deadline.Seconds()
	}
	return math.Log1p(max(0, float64(s.Connections.Writing)/within-1))
}

// relativeCost is how much of the mean response time in deadlines counts beside tardiness, so that intervals without
// any have an order.
const relativeCost = 0.05

// RewardOf is −log(1+c) of an interval, where c is the tardiness per request in deadlines and a little of the mean
// response. The logarithm keeps one interval of overload from outweighing all others. It is 0 when nothing finished.
func RewardOf(s vts.Sample, targets map[string]objective.Target) float64 {
	requests, cost := 0.0, 0.0
	for _, g := range s.Groups {
		deadline := targets[g.Name].Deadline.Seconds()
		m := objective.Measure(g, deadline)
		requests += m.Requests
		cost += m.Requests * m.PerRequest(objective.DefaultErrorTardiness)
		if deadline > 0 {
			cost += relativeCost * m.Requests * m.MeanSec / deadline
		}
	}
	if requests == 0 {
		return 0
	}
	return -math.Log1p(cost / requests)
}
