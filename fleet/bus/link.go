package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"trimtab/fleet"
	"trimtab/weights"
)

// Bounds of what a node keeps that it could not send.
const (
	MostWaiting = 64
	waitingAge  = time.Minute
)

// LinkConfig parameterises a Link.
type LinkConfig struct {
	Servers  []string // tls://host:port
	Identity Identity // of a node
	Version  string   // of the program
	// Schema is the newest message that this node reads; 0 means fleet.Schema.
	Schema int
	Shares map[string]map[string]weights.Limits // the node's own limits, by group and server
	Logger *slog.Logger
	// Clock is the clock on the wall; nil: time.Now.
	Clock func() time.Time
}

// Link is a node's connection to its fleet.
type Link struct {
	cfg  LinkConfig
	name string
	boot string
	wake chan struct{}

	waiting  []fleet.Sample // oldest first
	number   atomic.Uint64  // of the last sample
	dropped  atomic.Uint64  // samples that became too old, or were too many
	sent     atomic.Uint64  // samples that were acknowledged
	attached atomic.Bool

	mu       sync.Mutex
	plan     fleet.Plan
	heard    time.Time
	any      bool
	students map[uint64]*fleet.Student
	wanted   uint64 // version of a student that is to be fetched
	beliefs  json.RawMessage
}

var _ fleet.Link = (*Link)(nil)

// NewLink returns a link that does nothing until Run.
func NewLink(cfg LinkConfig) (*Link, error) {
	name, role, err := cfg.Identity.Name()
	if err != nil {
		return nil, err
	}
	if role != NodeRole {
		return nil, fmt.Errorf("connect to fleet: the certificate of %s is for the role %q: want one "+
			"that trimtab fleet keys node made", name, role)
	}
	if len(cfg.Servers) == 0 {
		return nil, errors.New("connect to fleet: no servers")
	}
	if _, err := cfg.Identity.TLS(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Schema == 0 {
		cfg.Schema = fleet.Schema
	}
	return &Link{cfg: cfg, name: name, boot: rand.Text(), wake: make(chan struct{}, 1),
		students: map[uint64]*fleet.Student{}}, nil
}

// Name is the node's, as its certificate says.
func (l *Link) Name() string { return l.name }

// SetVersion says of which version the program is; it is called before Run.
func (l *Link) SetVersion(version string) { l.cfg.Version = version }

// Boot implements fleet.Link.
func (l *Link) Boot() string { return l.boot }

// Next implements fleet.Link.
func (l *Link) Next() uint64 { return l.number.Add(1) }

// Attached reports whether a server of the fleet is reached now.
func (l *Link) Attached() bool { return l.attached.Load() }

// Counts are the samples that were acknowledged, that wait, and that were dropped.
func (l *Link) Counts() (sent, waiting, dropped uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent.Load(), uint64(len(l.waiting)), l.dropped.Load()
}

// Send implements fleet.Link.
func (l *Link) Send(s fleet.Sample) {
	l.mu.Lock()
	schema := l.cfg.Schema
	if l.any { // a centre of the version before does not read more than it writes
		schema = min(schema, l.plan.Schema)
	}
	l.waiting = append(l.waiting, s.For(schema))
	l.trim()
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// trim drops what is too old to be of use, and what is too much; mu is held.
func (l *Link) trim() {
	least := l.cfg.Clock().Add(-waitingAge).UnixMilli()
	before := len(l.waiting)
	l.waiting = slices.DeleteFunc(l.waiting, func(s fleet.Sample) bool { return s.AtMS < least })
	if over := len(l.waiting) - MostWaiting; over > 0 {
		l.waiting = slices.Delete(l.waiting, 0, over)
	}
	l.dropped.Add(uint64(before - len(l.waiting)))
}

// Heard implements fleet.Link.
func (l *Link) Heard() (fleet.Plan, time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.plan, l.heard, l.any
}

// Student implements fleet.Link.
func (l *Link) Student(version uint64) *fleet.Student {
	l.mu.Lock()
	s := l.students[version]
	if s == nil {
		l.wanted = version
	}
	l.mu.Unlock()
	if s == nil {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	return s
}

// Beliefs are what the centre had learned when the link was made; nil: nothing has come.
func (l *Link) Beliefs() json.RawMessage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.beliefs
}

// Run keeps the connection until ctx ends. Only what can never work is an error.
func (l *Link) Run(ctx context.Context) error {
	again := make(chan struct{}, 1)
	note := func(*nats.Conn) {
		select {
		case again <- struct{}{}:
		default:
		}
	}
	nc, err := dial(l.cfg.Servers, l.cfg.Identity, l.cfg.Logger, nats.ReconnectHandler(note), nats.ConnectHandler(note))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2*MostWaiting),
		jetstream.WithPublishAsyncTimeout(ackWait))
	if err != nil {
		return fmt.Errorf("connect to fleet: %w", err)
	}
	for _, key := range []string{allKey, nodePrefix + l.name} {
		sub, err := nc.Subscribe(kvSubject(plansBucket, key), func(m *nats.Msg) { l.hear(m.Data) })
		if err != nil {
			return fmt.Errorf("connect to fleet: %w", err)
		}
		if err := sub.SetPendingLimits(64, 4*MostMessage); err != nil {
			return fmt.Errorf("connect to fleet: %w", err)
		}
	}
	hello := time.NewTicker(helloEvery)
	defer hello.Stop()
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		l.attached.Store(nc.IsConnected())
		select {
		case <-ctx.Done():
			return nil
		case <-again:
			l.join(nc)
		case <-hello.C:
			l.greet(nc)
		case <-l.wake:
		case <-retry.C:
		}
		if nc.IsConnected() {
			l.fetch(nc)
			l.flush(ctx, js)
		}
	}
}

const (
	helloEvery = 30 * time.Second
	retryEvery = time.Second
	askWait    = 2 * time.Second
	ackWait    = 2 * time.Second
)

// join says who the node is, and takes over what the fleet knows: the plan that stands and what was learned.
func (l *Link) join(nc *nats.Conn) {
	l.greet(nc)
	for _, key := range []string{allKey, nodePrefix + l.name} {
		if text, err := get(nc, plansBucket, key, askWait); err == nil {
			l.hear(text)
		}
	}
	if l.Beliefs() == nil {
		if text, err := get(nc, beliefsBucket, beliefsKey, askWait); err == nil {
			l.mu.Lock()
			l.beliefs = text
			l.mu.Unlock()
		}
	}
}

func (l *Link) greet(nc *nats.Conn) {
	h := fleet.Hello{Schema: l.cfg.Schema, Node: l.name, Boot: l.boot, Version: l.cfg.Version,
		AtMS: l.cfg.Clock().UnixMilli(), Shares: l.cfg.Shares}
	text, err := json.Marshal(h)
	if err == nil {
		err = nc.Publish(kvSubject(membersBucket, l.name), text)
	}
	if err != nil && !errors.Is(err, nats.ErrReconnectBufExceeded) {
		l.cfg.Logger.Debug("hello not sent", "error", err)
	}
}

// hear takes a plan in. One that is older than the last is not heard at all, whatever way it came.
func (l *Link) hear(text []byte) {
	p, err := fleet.ParsePlan(text)
	if err != nil {
		l.cfg.Logger.Warn("plan not read", "error", err)
		return
	}
	if p.Schema > l.cfg.Schema || p.Node == "" && slices.Contains(p.Apart, l.name) || p.Node != "" && p.Node != l.name {
		return
	}
	now := l.cfg.Clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.any && !p.After(l.plan.Epoch, l.plan.Seq) &&
		(p.Epoch != l.plan.Epoch || p.Seq != l.plan.Seq || p.IssuedMS < l.plan.IssuedMS) {
		return
	}
	l.plan, l.heard, l.any = p, now, true
}

// mostStudents is how many policy versions a node holds: the one that stands, the one on trial, and the one before.
const mostStudents = 3

// fetch brings the student that is wanted.
func (l *Link) fetch(nc *nats.Conn) {
	l.mu.Lock()
	version := l.wanted
	l.wanted = 0
	l.mu.Unlock()
	if version == 0 {
		return
	}
	text, err := get(nc, policyBucket, fmt.Sprintf(studentName, version), askWait)
	var s fleet.Student
	if err == nil {
		s, err = fleet.ParseStudent(text)
	}
	if err != nil {
		l.cfg.Logger.Debug("policy not fetched", "version", version, "error", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.students[version] = &s
	for v := range l.students {
		if len(l.students) > mostStudents && v < version {
			delete(l.students, v)
		}
	}
}

// flush sends what waits, in order, and forgets what was acknowledged.
func (l *Link) flush(ctx context.Context, js jetstream.JetStream) {
	l.mu.Lock()
	l.trim()
	batch := slices.Clone(l.waiting)
	l.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	type sent struct {
		seq uint64
		ack jetstream.PubAckFuture
	}
	var out []sent
	for i := range batch {
		text, err := json.Marshal(&batch[i])
		if err != nil {
			l.forget(batch[i].Seq)
			l.cfg.Logger.Error("sample not written", "error", err)
			continue
		}
		ack, err := js.PublishMsgAsync(&nats.Msg{Subject: samplePrefix + l.name, Data: text},
			jetstream.WithMsgID(batch[i].ID()),
			jetstream.WithStallWait(ackWait))
		if err != nil {
			break
		}
		out = append(out, sent{batch[i].Seq, ack})
	}
	deadline := time.NewTimer(ackWait)
	defer deadline.Stop()
	for _, s := range out {
		select {
		case <-s.ack.Ok():
			l.sent.Add(1)
			l.forget(s.seq)
		case <-s.ack.Err(): //nolint:errcheck // it stays with what is to be sent
		case <-deadline.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (l *Link) forget(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(s fleet.Sample) bool { return s.Seq == seq })
}
