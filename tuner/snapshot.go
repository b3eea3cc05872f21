package tuner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"trimtab/cluster"
)

// SnapshotVersion is the version of the snapshots that this package writes, and the only one it reads.
const SnapshotVersion = 2

// ErrSnapshotVersion says that a snapshot was written by another version.
var ErrSnapshotVersion = errors.New("unknown snapshot version")

// Snapshot is everything a tuner has learned: regimes, Q tables, best vectors, deadlines and what is known of the
// servers. It is plain data for a state store.
type Snapshot struct {
	Version int                      `json:"version"`
	Model   json.RawMessage          `json:"model,omitempty"` // of the regimes, as package cluster writes it
	Pools   map[string]PoolSnapshot  `json:"pools"`           // by the names of their groups, joined with commas
	Groups  map[string]GroupSnapshot `json:"groups"`
	Servers []ServerSnapshot         `json:"servers"`
}

// PoolSnapshot is what was learned of one set of groups that share servers.
type PoolSnapshot struct {
	Regimes map[int]*regimeMemory `json:"regimes"`
}

// GroupSnapshot is what was learned of one upstream group.
type GroupSnapshot struct {
	DeadlineMsec float64 `json:"deadline_ms"`
	CV2          float64 `json:"service_cv2"`
}

// ServerSnapshot is what was seen of one server.
type ServerSnapshot struct {
	Address string               `json:"address"`
	Groups  []string             `json:"groups"` // in the order of the vectors of a point
	Slots   [slotChoices]float64 `json:"slots_log_weight"`
	Against [slotChoices]float64 `json:"slots_against_nats"`
	Points  []PointSnapshot      `json:"points"`
}

// PointSnapshot is one operating point of a server: averages over the intervals spent there, by group.
type PointSnapshot struct {
	RatePerSec     []float64 `json:"rate_per_s"`
	LogLatencySec  []float64 `json:"log_latency_s"`
	Requests       []float64 `json:"requests"`
	DonePerSec     []float64 `json:"done_per_s"`
	Finished       float64   `json:"finished"`     // requests behind DonePerSec
	ArrivalsSCV    float64   `json:"arrivals_scv"` // squared coefficient of variation of the times between arrivals
	Age            float64   `json:"age"`          // intervals since it was last visited
	FullIntervals  float64   `json:"full_intervals"`
	Intervals      float64   `json:"intervals"`
	SpreadVariance float64   `json:"spread_variance"`
	StaySec        float64   `json:"stay_s"` // spent there without the queue of before; 0: long
}

// Snapshot returns what the tuner has learned.
func (t *Tuner) Snapshot() (Snapshot, error) {
	s := Snapshot{Version: SnapshotVersion, Pools: map[string]PoolSnapshot{}, Groups: map[string]GroupSnapshot{}}
	if t.regimes.Model() != nil {
		var b bytes.Buffer
		if err := t.regimes.Model().Write(&b); err != nil {
			return Snapshot{}, fmt.Errorf("write regimes: %w", err)
		}
		s.Model = b.Bytes()
	}
	prefix := fmt.Sprintf("%d/", t.regimes.Epoch())
	for key, m := range t.memories {
		if name, ok := strings.CutPrefix(key, prefix); ok {
			s.Pools[strings.ReplaceAll(strings.TrimSuffix(name, "\n"), "\n", ",")] = PoolSnapshot{Regimes: m.Regimes}
		}
	}
	for name, g := range t.topo.groups {
		s.Groups[name] = GroupSnapshot{DeadlineMsec: g.deadline * 1e3, CV2: g.cv2}
	}
	for _, p := range t.topo.pools {
		for _, st := range p.stations {
			s.Servers = append(s.Servers, st.snapshot())
		}
	}
	if t.restored != nil { // not a sample since: what was taken over is still all that is known
		s.Groups, s.Servers = t.restored.Groups, t.restored.Servers
	}
	return s, nil
}

func (s *station) snapshot() ServerSnapshot {
	out := ServerSnapshot{Address: s.address, Slots: s.slots, Against: s.against}
	for _, l := range s.links {
		out.Groups = append(out.Groups, l.group.name)
	}
	for i := range s.points {
		p := &s.points[i]
		out.Points = append(out.Points, PointSnapshot{RatePerSec: clone(p.rate), LogLatencySec: clone(p.latency), Requests: clone(p.count),
			DonePerSec: clone(p.done), Finished: p.finished, ArrivalsSCV: p.arrivals, Age: p.age, FullIntervals: p.full, Intervals: p.weight, SpreadVariance: p.spread, StaySec: p.stay})
	}
	return out
}

func clone(x []float64) []float64 { return append([]float64(nil), x...) }

// Restore takes over what another tuner has learned. It is called before the first Decide; on an error the tuner is
// as it was.
func (t *Tuner) Restore(s Snapshot) error {
	if s.Version != SnapshotVersion {
		return fmt.Errorf("restore snapshot: %w %d, this program reads %d", ErrSnapshotVersion, s.Version, SnapshotVersion)
	}
	var model *cluster.Model
	if len(s.Model) > 0 && t.cfg.Regimes.Model == nil {
		m, err := cluster.ReadModel(bytes.NewReader(s.Model))
		if err != nil {
			return fmt.Errorf("restore regimes: %w", err)
		}
		model = m
	}
	for _, st := range s.Servers {
		if err := st.check(); err != nil {
			return fmt.Errorf("restore server %s: %w", st.Address, err)
		}
	}
	if model != nil {
		if err := t.regimes.Use(model); err != nil {
			return fmt.Errorf("restore regimes: %w", err)
		}
	}
	for name, p := range s.Pools {
		key := fmt.Sprintf("%d/%s\n", t.regimes.Epoch(), strings.ReplaceAll(name, ",", "\n"))
		t.memories[key] = &poolMemory{Regimes: p.Regimes}
	}
	t.restored = &s
	return nil
}

// Continue takes over what another tuner has learned and where it stands: the changes that it made count in the budget, and
// what was observed of the load goes on when regimes are found in the same way. It is called before the first Decide; the
// other tuner must not be used any more. On an error the tuner is as it was, but for the budget.
func (t *Tuner) Continue(from *Tuner) error {
	s, err := from.Snapshot()
	if err != nil {
		return err
	}
	t.budget.elapsed, t.budget.spent = from.budget.elapsed, from.budget.spent
	t.want, t.was, t.seen = from.want, from.was, from.seen
	if reflect.DeepEqual(t.cfg.Regimes, from.cfg.Regimes) && t.cfg.Seed == from.cfg.Seed {
		t.regimes = from.regimes
	}
	return t.Restore(s)
}

func (s *ServerSnapshot) check() error {
	for _, p := range s.Points {
		n := len(s.Groups)
		if len(p.RatePerSec) != n || len(p.LogLatencySec) != n || len(p.Requests) != n || len(p.DonePerSec) != n {
			return fmt.Errorf("an operating point does not have %d classes", n)
		}
	}
	return nil
}

// adopt fills a new topology from the snapshot that was restored.
func (t *Tuner) adopt() {
	s := t.restored
	if s == nil {
		return
	}
	t.restored = nil
	for name, g := range t.topo.groups {
		if k, ok := s.Groups[name]; ok {
			if !g.given {
				g.deadline = k.DeadlineMsec / 1e3
			}
			if k.CV2 > 0 {
				g.cv2 = k.CV2
			}
		}
	}
	for _, st := range s.Servers {
		o := t.topo.stations[st.Address]
		if o == nil || len(o.links) != len(st.Groups) {
			continue
		}
		same := true
		for i, l := range o.links {
			same = same && l.group.name == st.Groups[i]
		}
		if !same {
			continue
		}
		o.slots, o.against = st.Slots, st.Against
		for _, p := range st.Points {
			o.points = append(o.points, point{rate: clone(p.RatePerSec), latency: clone(p.LogLatencySec), count: clone(p.Requests),
				done: clone(p.DonePerSec), finished: p.Finished, arrivals: p.ArrivalsSCV, age: p.Age, full: p.FullIntervals, weight: p.Intervals, spread: p.SpreadVariance, stay: p.StaySec})
		}
	}
}

// ObservationLeft is how long the regimes are still to be observed at the present interval; 0: they are known.
func (t *Tuner) ObservationLeft() time.Duration {
	return time.Duration(t.regimes.Left()) * max(t.interval, t.cfg.Interval)
}
