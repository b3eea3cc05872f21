package tuner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"trimtab/cluster"
	"trimtab/deathstarbench/twin"
	"trimtab/objective"
	"trimtab/tuner/estimate"
	"trimtab/tuner/gate"
	"trimtab/tuner/learn"
	"trimtab/tuner/load"
	"trimtab/weights"
)

// SnapshotVersion is the version of the snapshots that this package writes, and the only one it reads.
const SnapshotVersion = 4

// ErrSnapshotVersion says that a snapshot was written by another version.
var ErrSnapshotVersion = errors.New("unknown snapshot version")

// Snapshot is everything a tuner has learned, and where it stands between two intervals: who is ejected and until when,
// what is left of the budget, whose the weights are, what is on its way to be noticed. It is plain data for a state
// store. A tuner that is restored with it decides as if it had never stopped; where other groups or servers have come,
// it goes on as one that saw them come. A forecast that waits to be judged, what was observed towards the next fit of
// regimes, and how novel the last intervals were to the present ones are lost.
type Snapshot struct {
	Version    int             `json:"version"`
	At         time.Time       `json:"at"` // of the last sample
	ElapsedSec float64         `json:"elapsed_s"`
	Changes    float64         `json:"changes_left"`       // below 0: lent in an emergency
	Model      json.RawMessage `json:"model,omitempty"`    // of the regimes, as package cluster writes it
	Forecast   *load.Forecast  `json:"forecast,omitempty"` // of what follows what among the regimes
	Pools      []PoolSnapshot  `json:"pools"`
}

// PoolSnapshot is one of groups that share servers.
type PoolSnapshot struct {
	Gate          gate.State            `json:"gate"`
	QuietSec      float64               `json:"quiet_s"`
	QuietPerSec   []float64             `json:"quiet_per_s"`
	TypicalSec    []float64             `json:"typical_s"`
	ForecastScore twin.Score            `json:"forecast_score"`
	Regimes       map[int]*learn.Regime `json:"regimes,omitempty"` // experience, by the identity of their demand
	Visit         Visit                 `json:"visit"`
	Groups        []GroupSnapshot       `json:"groups"`
	Servers       []ServerSnapshot      `json:"servers"`
}

// GroupSnapshot is one of one upstream group.
type GroupSnapshot struct {
	Name         string            `json:"name"`
	DeadlineMsec float64           `json:"deadline_ms"`
	SCV          float64           `json:"service_scv"`
	Rate         load.Rate         `json:"rate"`
	Learned      objective.Moments `json:"learned"` // of response times, behind the deadline
	ledger                         // whose the weights are
	Links        []LinkSnapshot    `json:"links"`
}

// LinkSnapshot is one of one server of one group.
type LinkSnapshot struct {
	Server string `json:"server"`
	linkState
}

// ServerSnapshot is one of one server.
type ServerSnapshot struct {
	Address string            `json:"address"`
	Groups  []string          `json:"groups"` // its classes
	Known   estimate.Snapshot `json:"known"`
}

// Snapshot returns what the tuner has learned, and where it stands.
func (t *Tuner) Snapshot() (Snapshot, error) {
	s := Snapshot{Version: SnapshotVersion, At: t.at, ElapsedSec: t.elapsed, Changes: t.budget.Level}
	if t.budget.Unlimited { // nothing was spent
		s.Changes = t.budget.Most
	}
	if m := t.regimes.Model(); m != nil {
		var b bytes.Buffer
		if err := m.Write(&b); err != nil {
			return Snapshot{}, fmt.Errorf("write regimes: %w", err)
		}
		s.Model = b.Bytes()
		s.Forecast = t.regimes.Learned()
	}
	for _, p := range t.pools {
		ps := PoolSnapshot{Gate: p.gate, QuietSec: p.quietSec, QuietPerSec: slices.Clone(p.quiet),
			TypicalSec: slices.Clone(p.typical), ForecastScore: p.outlook.watch.Score, Regimes: p.experience.copied(),
			Visit: p.experience.visit}
		for _, g := range p.groups {
			gs := GroupSnapshot{Name: g.name, DeadlineMsec: g.deadline * 1e3, SCV: g.scv, Rate: g.rate,
				Learned: g.learned, ledger: g.ledger.clone()}
			for _, l := range g.links {
				gs.Links = append(gs.Links, LinkSnapshot{l.server.address, l.linkState})
			}
			ps.Groups = append(ps.Groups, gs)
		}
		for _, sv := range p.servers {
			ps.Servers = append(ps.Servers, ServerSnapshot{sv.address, names(sv.groups), sv.known.Snapshot()})
		}
		s.Pools = append(s.Pools, ps)
	}
	return s, nil
}

// Learned is what of a snapshot is true for another tuner too: what servers are and what load there is, but not where
// this one stood, for the other one has weights and a budget of its own.
func (s Snapshot) Learned() Snapshot {
	out := Snapshot{Version: s.Version, Changes: math.MaxFloat64, Model: s.Model, Forecast: s.Forecast}
	for _, p := range s.Pools {
		ps := PoolSnapshot{Regimes: p.Regimes, Visit: Visit{Regime: -1}}
		for _, g := range p.Groups {
			ps.Groups = append(ps.Groups, GroupSnapshot{Name: g.Name, DeadlineMsec: g.DeadlineMsec, SCV: g.SCV})
		}
		for _, sv := range p.Servers {
			sv.Known.Standing = estimate.Standing{FailShare: make([]float64, len(sv.Groups))}
			ps.Servers = append(ps.Servers, sv)
		}
		out.Pools = append(out.Pools, ps)
	}
	return out
}

// Restore takes over what another tuner has learned, and where it stood. It is called before the first Observe; on an
// error the tuner is as it was.
func (t *Tuner) Restore(s Snapshot) error {
	if err := s.Check(); err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	known := len(s.Model) > 0 && t.cfg.Regimes.Model == nil // else its experience is of regimes of another model
	if known {
		m, err := cluster.ReadModel(bytes.NewReader(s.Model))
		if err == nil {
			err = t.regimes.Restore(m, s.Forecast)
		}
		if err != nil {
			return fmt.Errorf("restore regimes: %w", err)
		}
	}
	t.at, t.elapsed, t.budget.Level = s.At, s.ElapsedSec, max(-t.budget.Most, min(t.budget.Most, s.Changes))
	t.pools, t.restored = nil, true
	for i := range s.Pools {
		t.pools = append(t.pools, t.restore(&s.Pools[i], known))
	}
	return nil
}

// Check reports why nothing can be taken over from a snapshot.
func (s *Snapshot) Check() error {
	if s.Version != SnapshotVersion {
		return fmt.Errorf("%w %d, this program reads %d", ErrSnapshotVersion, s.Version, SnapshotVersion)
	}
	if err := unusable("", reflect.ValueOf(s)); err != nil {
		return err
	}
	for i := range s.Pools {
		if err := s.Pools[i].check(); err != nil {
			return err
		}
	}
	return nil
}

// signed are the numbers of a snapshot that may be negative.
var signed = []string{"changes_left", "reward_sum", "correction", "value", "log_length", "log_service_s",
	"evidence_nats"}

// unusable says which number in v, if any, nothing can be worked out from. The name is that of v in JSON.
func unusable(name string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.IsInf(x, 0) || x < 0 && !slices.Contains(signed, name) {
			return fmt.Errorf("%s of %v: not usable", name, x)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			of, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if err := unusable(of, v.Field(i)); err != nil {
				return err
			}
		}
	case reflect.Slice, reflect.Map:
		for _, of := range v.Seq2() {
			if err := unusable(name, of); err != nil {
				return err
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			return unusable(name, v.Elem())
		}
	}
	return nil
}

// check reports what is wrong with a snapshot, whose numbers are usable.
func (p *PoolSnapshot) check() error {
	if err := p.ForecastScore.Check(); err != nil {
		return err
	}
	if v := p.Visit; v.Regime >= 0 && !slices.Contains(learn.Actions(), v.Action) {
		return fmt.Errorf("visit with the action %q: not usable", v.Action)
	}
	for id, r := range p.Regimes {
		if !r.Valid() {
			return fmt.Errorf("experience of regime %d: not usable", id)
		}
	}
	for _, sv := range p.Servers {
		if err := sv.Known.Check(len(sv.Groups)); err != nil {
			return fmt.Errorf("server %s: %w", sv.Address, err)
		}
	}
	return nil
}

// restore is a pool for rebuild to take from; experienced says that its experience is of the regimes that are known.
func (t *Tuner) restore(s *PoolSnapshot, experienced bool) *pool {
	p := &pool{gate: s.Gate, quietSec: s.QuietSec, quiet: s.QuietPerSec, typical: s.TypicalSec,
		outlook: outlook{watch: twin.Watch{Score: s.ForecastScore}}, experience: newExperience()}
	if experienced {
		maps.Copy(p.experience.regimes, s.Regimes)
	}
	if p.experience.regimes[s.Visit.Regime] != nil { // else one begins when its time comes
		p.experience.visit = s.Visit
	}
	for _, gs := range s.Groups {
		g := t.newGroup(gs.Name)
		g.rate, g.learned, g.ledger = gs.Rate, gs.Learned, gs.ledger.clone()
		if !g.given {
			g.deadline = gs.DeadlineMsec / 1e3
		}
		if gs.SCV > 0 {
			g.scv = gs.SCV
		}
		for _, l := range gs.Links {
			g.links = append(g.links, &link{server: &server{address: l.Server}, linkState: l.linkState})
		}
		p.groups = append(p.groups, g)
	}
	for _, k := range s.Servers {
		sv := &server{address: k.Address, known: estimate.Restore(k.Known)}
		for _, name := range k.Groups {
			sv.groups = append(sv.groups, &group{name: name})
		}
		p.servers = append(p.servers, sv)
	}
	return p
}

// longestGap is the longest time in seconds that passes while a tuner stands still: a clock may jump.
const longestGap = 24 * 3600

// disown makes what is found of weights that are not those that were left the operator's, as at any start.
func (t *Tuner) disown(found weights.Set) {
	for _, p := range t.pools {
		for _, g := range p.groups {
			if now := found[g.name]; !now.Equal(g.ledger.InForce) && !now.Equal(g.ledger.Asked) {
				g.ledger, p.gate, p.quietSec = ledger{}, gate.State{}, 0
			}
		}
	}
}

// Continue takes over what another tuner has learned and where it stands: the changes that it made count in the budget,
// and what was observed of the load goes on when regimes are found in the same way. It is called before the first
// Observe; the other tuner must not be used any more. On an error the tuner is as it was.
func (t *Tuner) Continue(from *Tuner) error {
	s, err := from.Snapshot()
	if err != nil {
		return err
	}
	if reflect.DeepEqual(t.cfg.Regimes, from.cfg.Regimes) && t.cfg.Seed == from.cfg.Seed {
		t.regimes = from.regimes
	}
	return t.Restore(s)
}
