package tuner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"trimtab/cluster"
	"trimtab/tuner/estimate"
	"trimtab/tuner/learn"
	"trimtab/tuner/load"
	"trimtab/vts"
)

// SnapshotVersion is the version of the snapshots that this package writes, and the only one it reads.
const SnapshotVersion = 3

// ErrSnapshotVersion says that a snapshot was written by another version.
var ErrSnapshotVersion = errors.New("unknown snapshot version")

// Snapshot is everything a tuner has learned. It is plain data for a state store.
type Snapshot struct {
	Version    int                      `json:"version"`
	Model      json.RawMessage          `json:"model,omitempty"`    // of the regimes, as package cluster writes it
	Forecast   *load.Forecast           `json:"forecast,omitempty"` // of what follows what among the regimes
	Experience []ExperienceSnapshot     `json:"experience,omitempty"`
	Groups     map[string]GroupSnapshot `json:"groups"`
	Servers    []ServerSnapshot         `json:"servers"`
	Standing   *Standing                `json:"standing,omitempty"` // nil: nobody knows where it stood
}

// ExperienceSnapshot is what a set of groups that share servers has learned in each regime of load.
type ExperienceSnapshot struct {
	Groups  []string              `json:"groups"`
	Regimes map[int]*learn.Regime `json:"regimes"` // by the identity of their demand
}

// GroupSnapshot is what was learned of one upstream group.
type GroupSnapshot struct {
	DeadlineMsec float64 `json:"deadline_ms"`
	SCV          float64 `json:"service_scv"`
}

// ServerSnapshot is what was learned of one server.
type ServerSnapshot struct {
	Address string            `json:"address"`
	Groups  []string          `json:"groups"` // its classes
	Known   estimate.Snapshot `json:"known"`
}

// Snapshot returns what the tuner has learned.
func (t *Tuner) Snapshot() (Snapshot, error) {
	s := Snapshot{Version: SnapshotVersion, Groups: map[string]GroupSnapshot{}}
	if m := t.regimes.Model(); m != nil {
		var b bytes.Buffer
		if err := m.Write(&b); err != nil {
			return Snapshot{}, fmt.Errorf("write regimes: %w", err)
		}
		s.Model = b.Bytes()
		s.Forecast = t.regimes.Learned()
	}
	for _, p := range t.pools {
		if len(p.experience.regimes) > 0 {
			s.Experience = append(s.Experience, ExperienceSnapshot{Groups: p.names(), Regimes: p.experience.copied()})
		}
		for _, g := range p.groups {
			s.Groups[g.name] = GroupSnapshot{DeadlineMsec: g.deadline * 1e3, SCV: g.scv}
		}
		for _, sv := range p.servers {
			s.Servers = append(s.Servers, ServerSnapshot{Address: sv.address, Groups: names(sv.groups),
				Known: sv.known.Snapshot()})
		}
	}
	if t.restored != nil { // not a sample since: what was taken over is still all that is known
		r := t.restored
		s.Groups, s.Servers, s.Experience, s.Standing = r.Groups, r.Servers, r.Experience, r.Standing
	} else if len(t.pools) > 0 {
		s.Standing = t.standing()
	}
	return s, nil
}

// Restore takes over what another tuner has learned. It is called before the first Observe; on an error the tuner is
// as it was.
func (t *Tuner) Restore(s Snapshot) error {
	if s.Version != SnapshotVersion {
		return fmt.Errorf("restore snapshot: %w %d, this program reads %d", ErrSnapshotVersion, s.Version,
			SnapshotVersion)
	}
	for _, sv := range s.Servers {
		if err := sv.Known.Check(len(sv.Groups)); err != nil {
			return fmt.Errorf("restore server %s: %w", sv.Address, err)
		}
	}
	if s.Standing != nil {
		if err := s.Standing.check(); err != nil {
			return fmt.Errorf("restore standing: %w", err)
		}
	}
	for _, x := range s.Experience {
		for id, r := range x.Regimes {
			if r == nil || !r.Valid() {
				return fmt.Errorf("restore experience of groups %v: regime %d is not sound", x.Groups, id)
			}
		}
	}
	if len(s.Model) > 0 && t.cfg.Regimes.Model == nil {
		m, err := cluster.ReadModel(bytes.NewReader(s.Model))
		if err == nil {
			err = t.regimes.Restore(m, s.Forecast)
		}
		if err != nil {
			return fmt.Errorf("restore regimes: %w", err)
		}
	} else {
		s.Experience = nil // of regimes of another model
	}
	t.restored = &s
	return nil
}

// Continue takes over what another tuner has learned and where it stands: the changes that it made count in the budget,
// and what was observed of the load goes on when regimes are found in the same way. It is called before the first
// Observe; the other tuner must not be used any more. On an error the tuner is as it was, but for the budget.
func (t *Tuner) Continue(from *Tuner) error {
	s, err := from.Snapshot()
	if err != nil {
		return err
	}
	if !t.budget.Unlimited && !from.budget.Unlimited {
		t.budget.Level = min(t.budget.Most, from.budget.Level)
	}
	if reflect.DeepEqual(t.cfg.Regimes, from.cfg.Regimes) && t.cfg.Seed == from.cfg.Seed {
		t.regimes = from.regimes
	}
	return t.Restore(s)
}

// adopt fills new pools, at their first sample, from the snapshot that was restored.
func (t *Tuner) adopt(first *vts.Sample) {
	s := t.restored
	if s == nil {
		return
	}
	t.restored = nil
	known := map[string]ServerSnapshot{}
	for _, sv := range s.Servers {
		known[sv.Address] = sv
	}
	for _, p := range t.pools {
		for _, x := range s.Experience {
			if slices.Equal(x.Groups, p.names()) {
				p.experience = experience{regimes: x.Regimes, visit: Visit{Regime: -1}}
			}
		}
		for _, g := range p.groups {
			if k, ok := s.Groups[g.name]; ok {
				if !g.given {
					g.deadline = k.DeadlineMsec / 1e3
				}
				if k.SCV > 0 {
					g.scv = k.SCV
				}
			}
		}
		for _, sv := range p.servers {
			if k, ok := known[sv.address]; ok && slices.Equal(k.Groups, names(sv.groups)) {
				sv.known = estimate.Restore(k.Known)
			}
		}
	}
	if s.Standing != nil {
		t.resume(s.Standing, first)
	}
}
