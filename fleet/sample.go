package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"trimtab/vts"
	"trimtab/weights"
)

// Schema is the version of the messages that this program writes; it reads OldestSchema too. Version 1 had no
// histograms, no student and no boot.
const (
	Schema       = 2
	OldestSchema = 1
)

// Bounds of what a message may hold, so that one node cannot fill the centre.
const (
	MostGroups   = 256
	MostServers  = 4096 // of all groups
	MostName     = 256  // bytes
	MostBuckets  = 64
	MostInterval = 10 * time.Minute
)

// Sample is what one node saw in one interval.
type Sample struct {
	Schema   int     `json:"v"`
	Node     string  `json:"node"`
	Boot     string  `json:"boot,omitempty"` // of the node's process, drawn at its start
	Seq      uint64  `json:"seq"`            // counts the samples of a boot, from 1
	AtMS     int64   `json:"at_ms"`          // end of the interval, Unix time in ms by the node's clock
	Interval int64   `json:"interval_ms"`
	Groups   []Group `json:"groups"`
	// Epoch and Plan name the plan that the node follows; 0: none.
	Epoch uint64 `json:"epoch,omitempty"`
	Plan  uint64 `json:"plan,omitempty"`
	// Refused says why the node does not take the last plan; empty: it does.
	Refused string `json:"refused,omitempty"`
	// Policy is the version of the student that the node holds; 0: none.
	Policy uint64 `json:"policy,omitempty"`
}

// Group is one upstream of a node, by columns: entry i of each is of the server i.
type Group struct {
	Name       string          `json:"name"`
	Servers    []string        `json:"servers"`
	Weights    []int           `json:"weights"`
	Down       []bool          `json:"down,omitempty"` // empty: none is
	Requests   []uint64        `json:"requests"`
	Responses  []vts.Responses `json:"responses"` // 1xx…5xx
	RequestMS  []uint64        `json:"request_ms"`
	ResponseMS []uint64        `json:"response_ms"`
	InBytes    []uint64        `json:"in_bytes,omitempty"`
	OutBytes   []uint64        `json:"out_bytes,omitempty"`
	BucketsMS  []float64       `json:"buckets_ms,omitempty"` // upper bounds
	Buckets    [][]uint64      `json:"buckets,omitempty"`    // cumulative, by server
	NoLive     uint64          `json:"no_live,omitempty"`
	Turned     uint64          `json:"turned_away,omitempty"` // by admission
}

// NewSample is the sample of a node.
func NewSample(node, boot string, seq uint64, s vts.Sample) Sample {
	out := Sample{Schema: Schema, Node: node, Boot: boot, Seq: seq, AtMS: s.At.UnixMilli(),
		Interval: s.Interval.Milliseconds(),
		Groups:   make([]Group, len(s.Groups))}
	for i := range s.Groups {
		in, g := &s.Groups[i], &out.Groups[i]
		n := len(in.Peers)
		*g = Group{Name: in.Name, Servers: make([]string, n), Weights: make([]int, n), Requests: make([]uint64, n),
			Responses: make([]vts.Responses, n), RequestMS: make([]uint64, n), ResponseMS: make([]uint64, n),
			InBytes: make([]uint64, n), OutBytes: make([]uint64, n), NoLive: in.NoLive, Turned: in.Refused}
		for j := range in.Peers {
			p := &in.Peers[j]
			g.Servers[j], g.Weights[j], g.Requests[j], g.Responses[j] = p.Server, p.Weight, p.Requests, p.Responses
			g.RequestMS[j], g.ResponseMS[j], g.InBytes[j], g.OutBytes[j] = p.RequestMsec, p.ResponseMsec, p.InBytes,
				p.OutBytes
			if p.Down {
				if g.Down == nil {
					g.Down = make([]bool, n)
				}
				g.Down[j] = true
			}
			if len(p.Buckets) > 0 {
				if g.Buckets == nil {
					g.Buckets, g.BucketsMS = make([][]uint64, n), p.BucketsMsec
				}
				g.Buckets[j] = p.Buckets
			}
		}
	}
	return out
}

// At is the end of the interval by the node's clock.
func (s *Sample) At() time.Time { return time.UnixMilli(s.AtMS) }

// Span is the length of the interval.
func (s *Sample) Span() time.Duration { return time.Duration(s.Interval) * time.Millisecond }

// ID tells the messages of all nodes apart, so that one that is sent twice counts once.
func (s *Sample) ID() string { return fmt.Sprintf("%s.%s.%d", s.Node, s.Boot, s.Seq) }

// InForce are the settings that the node's status page showed.
func (s *Sample) InForce() weights.Set {
	out := make(weights.Set, len(s.Groups))
	for i := range s.Groups {
		g := &s.Groups[i]
		set := make(weights.Group, len(g.Servers))
		for j, server := range g.Servers {
			set[server] = weights.Setting{Weight: weights.Clamp(g.Weights[j]), Down: g.down(j)}
		}
		out[g.Name] = set
	}
	return out
}

func (g *Group) down(j int) bool { return len(g.Down) > 0 && g.Down[j] }

// For returns the sample as a centre that reads at most the schema given can take it.
func (s Sample) For(schema int) Sample {
	if schema < Schema {
		s.Schema, s.Boot, s.Policy = OldestSchema, "", 0
		s.Groups = slices.Clone(s.Groups)
		for i := range s.Groups {
			s.Groups[i].Buckets, s.Groups[i].BucketsMS = nil, nil
		}
	}
	return s
}

// ErrSchema says that a message is of a version that this program does not read.
var ErrSchema = errors.New("unknown version of a message")

// ParseSample reads a sample and checks its shape: what it says is the Auditor's to judge.
func ParseSample(text []byte) (Sample, error) {
	var s Sample
	if err := json.Unmarshal(text, &s); err != nil {
		return Sample{}, fmt.Errorf("read sample: %w", err)
	}
	if s.Schema < OldestSchema || s.Schema > Schema {
		return Sample{}, fmt.Errorf("read sample: %w: %d, want %d to %d", ErrSchema, s.Schema, OldestSchema, Schema)
	}
	if err := s.shape(); err != nil {
		return Sample{}, fmt.Errorf("read sample: %w", err)
	}
	return s, nil
}

func (s *Sample) shape() error {
	if err := checkName("node", s.Node); err != nil {
		return err
	}
	if len(s.Boot) > MostName || len(s.Refused) > 4*MostName {
		return fmt.Errorf("node %s: boot or reason too long", s.Node)
	}
	if len(s.Groups) > MostGroups {
		return fmt.Errorf("%d groups: want at most %d", len(s.Groups), MostGroups)
	}
	servers, seen := 0, map[string]bool{}
	for i := range s.Groups {
		g := &s.Groups[i]
		if err := checkName("group", g.Name); err != nil {
			return err
		}
		if seen[g.Name] {
			return fmt.Errorf("group %s: there twice", g.Name)
		}
		seen[g.Name] = true
		n := len(g.Servers)
		if servers += n; servers > MostServers {
			return fmt.Errorf("more than %d servers", MostServers)
		}
		lengths := []int{len(g.Weights), len(g.Requests), len(g.Responses), len(g.RequestMS), len(g.ResponseMS)}
		for _, l := range lengths {
			if l != n {
				return fmt.Errorf("group %s: columns of %v entries for %d servers", g.Name, lengths, n)
			}
		}
		for _, l := range []int{len(g.Down), len(g.InBytes), len(g.OutBytes), len(g.Buckets)} {
			if l != 0 && l != n {
				return fmt.Errorf("group %s: a column of %d entries for %d servers", g.Name, l, n)
			}
		}
		if len(g.BucketsMS) > MostBuckets {
			return fmt.Errorf("group %s: %d buckets: want at most %d", g.Name, len(g.BucketsMS), MostBuckets)
		}
		twice := map[string]bool{}
		for j, name := range g.Servers {
			if err := checkName("server", name); err != nil {
				return err
			}
			if twice[name] {
				return fmt.Errorf("group %s: server %s: there twice", g.Name, name)
			}
			twice[name] = true
			if len(g.Buckets) > 0 && len(g.Buckets[j]) != 0 && len(g.Buckets[j]) != len(g.BucketsMS) {
				return fmt.Errorf("group %s: server %s: %d counts for %d buckets", g.Name, name, len(g.Buckets[j]),
					len(g.BucketsMS))
			}
		}
	}
	return nil
}

func checkName(what, name string) error {
	if name == "" || len(name) > MostName || strings.ContainsFunc(name, func(r rune) bool {
		return r < ' ' || r == 0x7f
	}) {
		return fmt.Errorf("%s %.40q: want 1 to %d printable bytes", what, name, MostName)
	}
	return nil
}

// CheckNodeName reports whether a node may have the name: it is a token of subjects and keys.
func CheckNodeName(name string) error {
	ok := name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
	if !ok {
		return fmt.Errorf("node name %.70q: want 1 to 64 letters, digits, '-' and '_'", name)
	}
	return nil
}
