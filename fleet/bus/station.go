package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"trimtab/control"
	"trimtab/fleet"
	"trimtab/weights"
)

// StationConfig parameterises a Station. The zero value of a field means its default.
type StationConfig struct {
	Servers  []string
	Identity Identity // of a centre
	ID       string   // of this centre among others; default drawn from its connection
	Replicas int      // of streams and buckets; default 1
	Interval time.Duration
	// NewPolicy makes the policy that observes the load of all nodes, when this centre begins to plan.
	NewPolicy func() (control.Policy, error)
	// Restore has a policy take over what a centre before had learned, and Snapshot says what it has learned; nil:
	// nothing is kept.
	Restore  func(control.Policy, json.RawMessage) error
	Snapshot func(control.Policy) (json.RawMessage, error)
	Audit    fleet.AuditConfig
	Rollout  fleet.RolloutConfig
	Logger   *slog.Logger
	Clock    func() time.Time // nil: time.Now
}

// Station is a centre on the bus: of several that run only the one that holds the lease plans, and the others stand by.
type Station struct {
	cfg StationConfig
	log *slog.Logger

	mu     sync.Mutex
	status Status
}

// Status is where a fleet stands.
type Status struct {
	Schema    int             `json:"v"`
	At        time.Time       `json:"at"`
	Centre    string          `json:"centre"`
	Planning  bool            `json:"planning"` // false: another centre does, or the bus is not reached
	Epoch     uint64          `json:"epoch"`
	Plan      uint64          `json:"plan"`
	Reason    string          `json:"reason"`
	Trouble   string          `json:"trouble,omitempty"`
	Weights   weights.Set     `json:"weights,omitempty"`
	Nodes     []NodeLine      `json:"nodes"`
	Policy    PolicyLine      `json:"policy"`
	Faults    []FaultLine     `json:"quarantines"`
	LagSec    LagLine         `json:"lag_s"`
	Rates     map[string]Rate `json:"rate_per_s,omitempty"`
	Samples   uint64          `json:"samples"` // taken in since this centre began to plan
	Discarded uint64          `json:"quarantined"`
}

// Rate is requests per second.
type Rate = float64

// The lines of a status are those of package fleet.
type (
	NodeLine   = fleet.NodeLine
	PolicyLine = fleet.PolicyLine
	FaultLine  = fleet.Quarantine
)

// LagLine is how long samples took from the end of their interval at the node to the centre, s.
type LagLine struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// NewStation returns a centre that does nothing until Run.
func NewStation(cfg StationConfig) (*Station, error) {
	_, role, err := cfg.Identity.Name()
	if err != nil {
		return nil, err
	}
	if role != CentreRole {
		return nil, fmt.Errorf("run centre: the certificate is for the role %q", role)
	}
	if cfg.NewPolicy == nil {
		return nil, errors.New("run centre: want a policy")
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = 1
	}
	if cfg.Interval == 0 {
		cfg.Interval = 3 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.ID == "" {
		cfg.ID = nats.NewInbox()[len("_INBOX."):]
	}
	return &Station{cfg: cfg, log: cfg.Logger, status: Status{Schema: fleet.Schema, Centre: cfg.ID}}, nil
}

// Status is where the fleet stands as this centre sees it.
func (s *Station) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *Station) set(change func(*Status)) {
	s.mu.Lock()
	change(&s.status)
	s.mu.Unlock()
}

// Run plans while this centre holds the lease, until ctx ends.
func (s *Station) Run(ctx context.Context) error {
	nc, err := dial(s.cfg.Servers, s.cfg.Identity, s.log)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("run centre: %w", err)
	}
	for ctx.Err() == nil {
		err := s.turn(ctx, nc, js)
		if ctx.Err() != nil {
			break
		}
		s.set(func(st *Status) {
			st.Planning, st.At, st.Trouble = false, s.cfg.Clock(), ""
			if err != nil {
				st.Trouble = err.Error()
			}
		})
		if err != nil {
			s.log.Warn("this centre does not plan", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// turn prepares the streams, waits for the lease, and plans for as long as it is held. That another centre has it is no
// error.
func (s *Station) turn(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) error {
	short, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := prepare(short, js, s.cfg.Replicas); err != nil {
		return err
	}
	lease, err := takeLease(short, js, s.cfg.ID)
	if errors.Is(err, errTaken) {
		return nil
	}
	if err != nil {
		return err
	}
	d, err := s.begin(ctx, nc, js, lease)
	if err != nil {
		return errors.Join(err, lease.release(ctx))
	}
	err = d.run(ctx)
	return errors.Join(err, lease.release(context.WithoutCancel(ctx)))
}

// lease says which centre plans. Whoever holds it renews it; one that is not renewed ends by itself.
type lease struct {
	kv       jetstream.KeyValue
	revision uint64
	id       string
}

var errTaken = errors.New("another centre plans")

func takeLease(ctx context.Context, js jetstream.JetStream, id string) (*lease, error) {
	kv, err := js.KeyValue(ctx, leaseBucket)
	if err != nil {
		return nil, fmt.Errorf("take lease: %w", err)
	}
	revision, err := kv.Create(ctx, leaseKey, []byte(id))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return nil, errTaken
	}
	if err != nil {
		return nil, fmt.Errorf("take lease: %w", err)
	}
	return &lease{kv: kv, revision: revision, id: id}, nil
}

func (l *lease) renew(ctx context.Context) error {
	revision, err := l.kv.Update(ctx, leaseKey, []byte(l.id), l.revision)
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	l.revision = revision
	return nil
}

func (l *lease) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := l.kv.Delete(ctx, leaseKey, jetstream.LastRevision(l.revision)); err != nil {
		return nil // it ends by itself
	}
	return nil
}

// lastPlan is the plan of the centre before; empty: there was none.
func lastPlan(nc *nats.Conn) (fleet.Plan, error) {
	text, err := get(nc, plansBucket, allKey, askWait)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return fleet.Plan{}, nil
	}
	if err != nil {
		return fleet.Plan{}, err
	}
	p, err := fleet.ParsePlan(text)
	if errors.Is(err, fleet.ErrSchema) {
		return fleet.Plan{}, nil
	}
	return p, err
}

// nodeOf is the node whose subject a message came on: what it says of its name is not asked.
func nodeOf(subject string) string { return strings.TrimPrefix(subject, samplePrefix) }
