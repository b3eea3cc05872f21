package cluster

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"trimtab/vts"
)

// FeatureSet names a way to turn a sample into features.
type FeatureSet string

const (
	// LoadFeatures are, per upstream group, log(1+rate), log(1+mean bytes in and out per request), error ratio and
	// share of all requests; then log(1+active connections).
	LoadFeatures FeatureSet = "load"
	// SeedFeatures are the older set: per server of every group bytes out, bytes in, down, non-2xx/3xx responses and
	// request milliseconds, all per second; then active connections.
	SeedFeatures FeatureSet = "seed"
	// HostFeatures are those of LoadFeatures and, of the machine of every server that is watched, the shares of
	// processor and memory in use, the pressures on processor, memory and input or output, and log(1+bytes per second)
	// in and out. What a machine did not say in time is unknown, as if it were usual.
	HostFeatures FeatureSet = "load+hosts"
	// ColumnFeatures are the columns of a file of numbers, as they are.
	ColumnFeatures FeatureSet = "columns"
)

// Schema says what each feature is; features of different schemas cannot be mixed.
type Schema struct {
	Set    FeatureSet    `json:"set"`
	Groups []GroupSchema `json:"groups,omitempty"` // sorted by name
	// Columns are the names of ColumnFeatures.
	Columns []string `json:"columns,omitempty"`
	// Hosts are the servers, sorted, whose machines are features of the load set too.
	Hosts []string `json:"hosts,omitempty"`
}

// GroupSchema is one upstream group of a Schema.
type GroupSchema struct {
	Name    string   `json:"name"`
	Servers []string `json:"servers,omitempty"` // sorted; only the seed set depends on them
}

const (
	perGroup  = 5 // features of a group in the load set
	perServer = 5 // features of a server in the seed set
	perHost   = 7 // features of a machine
)

// NewSchema returns the schema of the samples that look like s. Of HostFeatures it has the machines of s, see
// WithHosts.
func NewSchema(set FeatureSet, s vts.Sample) (Schema, error) {
	var hosts []string
	if set == HostFeatures {
		set = LoadFeatures
		for _, h := range s.Hosts {
			hosts = append(hosts, h.Server)
		}
	}
	if set != LoadFeatures && set != SeedFeatures {
		return Schema{}, fmt.Errorf("feature set %q: want %s, %s or %s", set, LoadFeatures, HostFeatures, SeedFeatures)
	}
	if len(s.Groups) == 0 {
		return Schema{}, fmt.Errorf("sample of %s has no upstream group", s.At.Format("15:04:05"))
	}
	schema := Schema{Set: set}
	for _, g := range s.Groups {
		group := GroupSchema{Name: g.Name}
		if set == SeedFeatures {
			for _, p := range g.Peers {
				group.Servers = append(group.Servers, p.Server)
			}
			slices.Sort(group.Servers)
		}
		schema.Groups = append(schema.Groups, group)
	}
	slices.SortFunc(schema.Groups, func(a, b GroupSchema) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return schema.WithHosts(hosts), nil
}

// WithHosts returns the schema with the machines of these servers as features too; only the load set has them.
func (s Schema) WithHosts(servers []string) Schema {
	s.Hosts = slices.Compact(slices.Sorted(slices.Values(servers)))
	return s
}

// validate reports a schema that NewSchema would not have made.
func (s Schema) validate() error {
	switch s.Set {
	case LoadFeatures, SeedFeatures:
		if len(s.Hosts) > 0 && (s.Set == SeedFeatures || !slices.IsSorted(s.Hosts)) {
			return fmt.Errorf("schema of feature set %s: machines %s: want them in the load set, sorted", s.Set,
				strings.Join(s.Hosts, ", "))
		}
		if len(s.Groups) == 0 || len(s.Columns) > 0 {
			return fmt.Errorf("schema of feature set %s: %d groups and %d columns, want groups only", s.Set,
				len(s.Groups), len(s.Columns))
		}
	case ColumnFeatures:
		if len(s.Columns) == 0 || len(s.Groups) > 0 || len(s.Hosts) > 0 {
			return fmt.Errorf("schema of feature set %s: %d columns and %d groups, want columns only", s.Set,
				len(s.Columns), len(s.Groups))
		}
	default:
		return fmt.Errorf("feature set %q: want %s, %s or %s", s.Set, LoadFeatures, SeedFeatures, ColumnFeatures)
	}
	return nil
}

// Dim is the number of features d.
func (s Schema) Dim() int {
	switch s.Set {
	case ColumnFeatures:
		return len(s.Columns)
	case SeedFeatures:
		n := 1
		for _, g := range s.Groups {
			n += perServer * len(g.Servers)
		}
		return n
	}
	return perGroup*len(s.Groups) + 1 + perHost*len(s.Hosts)
}

// Names returns one name with unit per feature.
func (s Schema) Names() []string {
	if s.Set == ColumnFeatures {
		return s.Columns
	}
	var names []string
	for _, g := range s.Groups {
		if s.Set == SeedFeatures {
			for _, server := range g.Servers {
				at := g.Name + "/" + server
				names = append(names, at+" out_bytes_per_s", at+" in_bytes_per_s", at+" down",
					at+" non_2xx_3xx_per_s", at+" request_ms_per_s")
			}
			continue
		}
		names = append(names, g.Name+" log1p_rate_per_s", g.Name+" log1p_in_bytes_per_request",
			g.Name+" log1p_out_bytes_per_request", g.Name+" error_ratio", g.Name+" share")
	}
	if s.Set == SeedFeatures {
		return append(names, "connections_active")
	}
	names = append(names, "log1p_connections_active")
	for _, server := range s.Hosts {
		names = append(names, server+" cpu", server+" memory", server+" cpu_pressure", server+" memory_pressure",
			server+" io_pressure", server+" log1p_received_bytes_per_s", server+" log1p_sent_bytes_per_s")
	}
	return names
}

// Equal reports whether both describe the same features.
func (s Schema) Equal(o Schema) bool {
	return s.Set == o.Set && slices.Equal(s.Columns, o.Columns) && slices.Equal(s.Hosts, o.Hosts) &&
		slices.EqualFunc(s.Groups, o.Groups,
			func(a, b GroupSchema) bool {
				return a.Name == b.Name && slices.Equal(a.Servers, b.Servers)
			})
}

// Difference says in words how o differs from s; empty when they are equal.
func (s Schema) Difference(o Schema) string {
	switch {
	case s.Equal(o):
		return ""
	case s.Set != o.Set:
		return fmt.Sprintf("feature set %s, not %s", s.Set, o.Set)
	case s.Set == ColumnFeatures:
		return fmt.Sprintf("columns %s, not %s", strings.Join(s.Columns, ","), strings.Join(o.Columns, ","))
	case !slices.Equal(s.Hosts, o.Hosts):
		return fmt.Sprintf("machines %s, not %s", strings.Join(s.Hosts, ", "), strings.Join(o.Hosts, ", "))
	}
	return fmt.Sprintf("groups %s, not %s", s.groupNames(), o.groupNames())
}

func (s Schema) groupNames() string {
	var names []string
	for _, g := range s.Groups {
		name := g.Name
		if len(g.Servers) > 0 {
			name += " (" + strings.Join(g.Servers, " ") + ")"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// FeaturesTo writes the Dim features of a sample to dst without allocating. A feature that the interval says
// nothing about (bytes per request of a group without requests) is NaN, which Scaler.TransformTo replaces by the
// mean. The error says which group or server does not fit the schema.
func (s Schema) FeaturesTo(dst []float64, sample *vts.Sample) error {
	if len(dst) != s.Dim() {
		panic(fmt.Sprintf("cluster: %d features into %d elements", s.Dim(), len(dst)))
	}
	if s.Set == ColumnFeatures {
		return fmt.Errorf("the model is of columns of numbers, not of samples")
	}
	seconds := sample.Interval.Seconds()
	if seconds <= 0 {
		return fmt.Errorf("sample of %s: interval %v is not positive", sample.At.Format("15:04:05.000"),
			sample.Interval)
	}
	if len(sample.Groups) != len(s.Groups) {
		return fmt.Errorf("sample of %s: %d upstream groups, schema has %d", sample.At.Format("15:04:05.000"),
			len(sample.Groups), len(s.Groups))
	}
	var total float64
	for i := range sample.Groups {
		total += float64(sample.Groups[i].Requests())
	}
	at := 0
	for i := range s.Groups {
		want := &s.Groups[i]
		got := findGroup(sample.Groups, want.Name)
		if got == nil {
			return fmt.Errorf("sample of %s: upstream group %s is missing", sample.At.Format("15:04:05.000"), want.Name)
		}
		if s.Set == SeedFeatures {
			if len(got.Peers) != len(want.Servers) {
				return fmt.Errorf("sample of %s: group %s has %d servers, schema has %d",
					sample.At.Format("15:04:05.000"), want.Name, len(got.Peers), len(want.Servers))
			}
			for _, server := range want.Servers {
				p := findPeer(got.Peers, server)
				if p == nil {
					return fmt.Errorf("sample of %s: server %s of group %s is missing",
						sample.At.Format("15:04:05.000"), server, want.Name)
				}
				serverFeatures(dst[at:at+perServer], p, seconds)
				at += perServer
			}
			continue
		}
		groupFeatures(dst[at:at+perGroup], got, seconds, total)
		at += perGroup
	}
	dst[at] = float64(sample.Connections.Active)
	if s.Set == LoadFeatures {
		dst[at] = math.Log1p(dst[at])
	}
	at++
	for _, server := range s.Hosts {
		hostFeatures(dst[at:at+perHost], sample.Hosts, server)
		at += perHost
	}
	return nil
}

// hostFeatures writes what the machine of a server said; NaN: it did not.
func hostFeatures(dst []float64, hosts []vts.HostSample, server string) {
	for i := range dst {
		dst[i] = math.NaN()
	}
	for i := range hosts {
		h := &hosts[i]
		if h.Server != server {
			continue
		}
		for j, v := range [...]float64{h.CPU, h.Memory, h.CPUPressure, h.MemoryPressure, h.IOPressure, h.Received,
			h.Sent} {
			switch {
			case v < 0: // it does not say
			case j < perHost-2:
				dst[j] = v
			default:
				dst[j] = math.Log1p(v)
			}
		}
		return
	}
}

// RatesTo writes to dst the requests per second of every group, in the order of Groups, that features of the load set
// stand for.
func (s Schema) RatesTo(dst, features []float64) {
	if s.Set != LoadFeatures || len(dst) != len(s.Groups) {
		panic(fmt.Sprintf("cluster: rates of %d groups of feature set %s into %d elements", len(s.Groups), s.Set,
			len(dst)))
	}
	for g := range dst {
		dst[g] = math.Expm1(features[g*perGroup])
	}
}

func groupFeatures(dst []float64, g *vts.GroupSample, seconds, total float64) {
	var requests, in, out, errors float64
	for i := range g.Peers {
		p := &g.Peers[i]
		requests += float64(p.Requests)
		in += float64(p.InBytes)
		out += float64(p.OutBytes)
		errors += float64(p.Responses.Errors())
	}
	dst[0] = math.Log1p(requests / seconds)
	if requests > 0 {
		dst[1], dst[2], dst[3] = math.Log1p(in/requests), math.Log1p(out/requests), errors/requests
	} else {
		dst[1], dst[2], dst[3] = math.NaN(), math.NaN(), math.NaN()
	}
	if total > 0 {
		dst[4] = requests / total
	} else {
		dst[4] = math.NaN()
	}
}

func serverFeatures(dst []float64, p *vts.PeerSample, seconds float64) {
	dst[0], dst[1] = float64(p.OutBytes)/seconds, float64(p.InBytes)/seconds
	dst[2] = 0
	if p.Down {
		dst[2] = 1
	}
	dst[3] = float64(p.Responses[0]+p.Responses[3]+p.Responses[4]) / seconds
	dst[4] = float64(p.RequestMsec) / seconds
}

func findGroup(groups []vts.GroupSample, name string) *vts.GroupSample {
	for i := range groups {
		if groups[i].Name == name {
			return &groups[i]
		}
	}
	return nil
}

func findPeer(peers []vts.PeerSample, server string) *vts.PeerSample {
	for i := range peers {
		if peers[i].Server == server {
			return &peers[i]
		}
	}
	return nil
}
