package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"trimtab/control"
	"trimtab/fleet"
)

// duty is one centre's time of planning: from when it took the lease until it lost it.
type duty struct {
	*Station
	nc     *nats.Conn
	js     jetstream.JetStream
	lease  *lease
	policy control.Policy
	centre *fleet.Centre
	plans  jetstream.KeyValue
	rooms  map[string]jetstream.KeyValue

	samples   chan jetstream.Msg
	bare      chan *nats.Msg // the same samples beside the store, heard while the store does not answer
	hellos    <-chan jetstream.KeyValueEntry
	lastPlan  uint64
	lastFault time.Time
	student   uint64
	stage     fleet.Stage
	lags      []float64 // s, of late
	count     uint64
	discarded uint64
	trouble   error             // of the store
	stored    time.Time         // when the store handed a sample on last
	overheard map[string]string // boots of nodes whose samples came past the store last
	saved     time.Time
}

const (
	mostLags   = 4096
	saveEvery  = 30 * time.Second
	storeWait  = 2 * time.Second
	inHand     = 2048 // samples that are fetched and not yet taken in
	renewEvery = leaseAge / 4
	// lostAfter is how long a lease that cannot be renewed still counts: it has not ended by then.
	lostAfter = leaseAge * 7 / 10
)

// begin makes a centre that goes on where the last one stood.
func (s *Station) begin(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, l *lease) (*duty, error) {
	last, err := lastPlan(nc)
	if err != nil {
		return nil, err
	}
	d := &duty{Station: s, nc: nc, js: js, lease: l, rooms: map[string]jetstream.KeyValue{},
		samples: make(chan jetstream.Msg, inHand),
		bare:    make(chan *nats.Msg, inHand), overheard: map[string]string{}}
	for _, bucket := range []string{plansBucket, membersBucket, policyBucket, beliefsBucket, statusBucket} {
		if d.rooms[bucket], err = js.KeyValue(ctx, bucket); err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", bucket, err)
		}
	}
	d.plans = d.rooms[plansBucket]
	if d.policy, err = s.cfg.NewPolicy(); err != nil {
		return nil, err
	}
	if s.cfg.Restore != nil {
		if e, err := d.rooms[beliefsBucket].Get(ctx, beliefsKey); err == nil {
			if err := s.cfg.Restore(d.policy, e.Value()); err != nil {
				s.log.Warn("what was learned before cannot be used", "error", err)
			}
		}
	}
	stable := last.Policy.Stable
	d.centre, err = fleet.NewCentre(fleet.CentreConfig{Policy: d.policy, Interval: s.cfg.Interval,
		Epoch: max(uint64(s.cfg.Clock().Unix()), last.Epoch+1), Last: last, Audit: s.cfg.Audit, Rollout: s.cfg.Rollout,
		Stable: stable, Version: max(stable, last.Policy.Candidate)})
	if err != nil {
		return nil, err
	}
	d.lastPlan = d.centre.Plan().Seq
	s.log.Info("this centre plans", "epoch", d.centre.Plan().Epoch, "plan", d.centre.Plan().Seq)
	return d, nil
}

// run takes samples in and plans until ctx ends or the lease is lost.
func (d *duty) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	consumer, err := d.js.CreateOrUpdateConsumer(ctx, samplesStream, jetstream.ConsumerConfig{Durable: "centre",
		AckPolicy: jetstream.AckExplicitPolicy,
		AckWait:   30 * time.Second, MaxAckPending: 2 * inHand, DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	hand := func(m jetstream.Msg) {
		select {
		case d.samples <- m:
		case <-ctx.Done():
		}
	}
	reading, err := consumer.Consume(hand, jetstream.PullMaxMessages(inHand/2),
		jetstream.ConsumeErrHandler(func(jetstream.ConsumeContext, error) {}))
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	defer reading.Stop()
	sub, err := d.nc.ChanSubscribe(samplePrefix+"*", d.bare)
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	watch, err := d.rooms[membersBucket].WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch members: %w", err)
	}
	defer func() { _ = watch.Stop() }()
	d.hellos = watch.Updates()
	return d.loop(ctx)
}

func (d *duty) loop(ctx context.Context) error {
	step, renew := time.NewTicker(d.cfg.Interval), time.NewTicker(renewEvery)
	defer step.Stop()
	defer renew.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			d.save(context.WithoutCancel(ctx))
			return nil
		case m := <-d.samples:
			d.take(m)
		case m := <-d.bare:
			d.overhear(m)
		case e, ok := <-d.hellos:
			if !ok {
				d.hellos = nil
			} else {
				d.meet(e)
			}
		case <-step.C:
			if err := d.step(ctx); err != nil {
				return err
			}
		case <-renew.C:
			switch err := d.renew(ctx); {
			case err == nil:
				renewed = time.Now()
			case errors.Is(err, jetstream.ErrKeyExists):
				return fmt.Errorf("another centre has taken over: %w", err)
			case time.Since(renewed) > lostAfter && d.cfg.Replicas > 1:
				return err
			default: // with one server nobody else can have it
				d.troubled(err)
			}
		}
	}
}

func (d *duty) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	err := d.lease.renew(ctx)
	api := (*jetstream.APIError)(nil)
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		// It ended while the store did not answer. Whoever comes first has it.
		next, taken := takeLease(ctx, d.js, d.cfg.ID)
		if taken != nil {
			return jetstream.ErrKeyExists
		}
		d.lease, err = next, nil
	}
	if err == nil && d.trouble != nil {
		d.log.Info("the store answers again")
		d.trouble = nil
	}
	return err
}

func (d *duty) troubled(err error) {
	if d.trouble == nil {
		d.log.Error("the store does not answer: samples and plans go on without it", "error", err)
	}
	d.trouble = err
}

func (d *duty) take(m jetstream.Msg) {
	now := d.cfg.Clock()
	if meta, err := m.Metadata(); err == nil {
		// The store took it then: what waited for the centre is as old as it was, not as old as the centre's absence.
		if stored := meta.Timestamp; now.Sub(stored) > time.Minute {
			_ = m.Ack()
			return
		}
	}
	d.stored = now
	d.hear(nodeOf(m.Subject()), m.Data(), now, true)
	_ = m.Ack() // one that is not acknowledged comes again, and is refused as replayed
}

// overhear takes a sample in that the store did not hand on: while it hands others on, it will, and while some of those
// wait it is this centre that is slow.
func (d *duty) overhear(m *nats.Msg) {
	now := d.cfg.Clock()
	if d.trouble != nil || len(d.samples) == 0 && now.Sub(d.stored) > 2*d.cfg.Interval {
		d.hear(nodeOf(m.Subject), m.Data, now, false)
	}
}

// hear judges a sample, that the store handed on or that was only overheard. One that comes both ways is no replay, nor
// is one that a node sends again because nobody acknowledged it.
func (d *duty) hear(node string, text []byte, now time.Time, stored bool) {
	s, err := fleet.ParseSample(text)
	if err == nil && s.Node != node {
		err = fmt.Errorf("it names the node %.70q", s.Node)
	}
	if err != nil {
		d.discarded++
		d.centre.Refuse(node, err, now)
		return
	}
	if d.centre.Had(&s) && (!stored || d.overheard[node] == s.Boot) {
		return
	}
	if !stored {
		d.overheard[node] = s.Boot
	} else {
		delete(d.overheard, node)
	}
	d.lag(now.Sub(s.At()).Seconds())
	if q := d.centre.Receive(s, now); q != nil {
		d.discarded++
		d.log.Debug("sample quarantined", "node", q.Node, "reason", q.Reason, "detail", q.Detail)
		return
	}
	d.count++
}

func (d *duty) lag(sec float64) {
	if len(d.lags) >= mostLags {
		d.lags = slices.Delete(d.lags, 0, mostLags/2)
	}
	d.lags = append(d.lags, max(0, sec))
}

func (d *duty) meet(e jetstream.KeyValueEntry) {
	if e == nil || e.Operation() != jetstream.KeyValuePut {
		return
	}
	h, err := fleet.ParseHello(e.Value())
	if err == nil && h.Node != e.Key() {
		err = fmt.Errorf("it names the node %.70q", h.Node)
	}
	if err != nil {
		d.centre.Refuse(e.Key(), err, d.cfg.Clock())
		return
	}
	d.centre.Meet(h)
}

// step plans, and says so. Only a lost connection of policy and duty ends it; a store that does not answer does not.
func (d *duty) step(ctx context.Context) error {
	now := d.cfg.Clock()
	var plans []fleet.Plan
	if err := control.Contain(func() { plans = d.centre.Step(now) }); err != nil {
		return err // the next turn begins with a fresh policy
	}
	d.publishStudent(ctx)
	for i := range plans {
		key := allKey
		if plans[i].Node != "" {
			key = nodePrefix + plans[i].Node
		}
		d.put(ctx, plansBucket, key, plans[i])
	}
	d.record(ctx, plans[0])
	d.show(ctx, now)
	if now.Sub(d.saved) >= saveEvery {
		d.saved = now
		d.save(ctx)
	}
	return nil
}

// put writes a value; while the store does not answer it is sent to whoever listens.
func (d *duty) put(ctx context.Context, bucket, key string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		d.log.Error("message not written", "key", key, "error", err)
		return
	}
	if d.trouble == nil {
		short, cancel := context.WithTimeout(ctx, storeWait)
		defer cancel()
		if _, err = d.rooms[bucket].Put(short, key, text); err == nil {
			return
		}
		d.troubled(err)
	}
	if err := d.nc.Publish(kvSubject(bucket, key), text); err != nil {
		d.log.Debug("message not sent", "key", key, "error", err)
	}
}

// publishStudent stores a student that is new, before any plan names it.
func (d *duty) publishStudent(ctx context.Context) {
	s := d.centre.Student()
	if s == nil || s.Version == d.student || d.trouble != nil {
		return
	}
	d.put(ctx, policyBucket, fmt.Sprintf(studentName, s.Version), s)
	d.student = s.Version
	if old := s.Version; old > keptStudents {
		short, cancel := context.WithTimeout(ctx, storeWait)
		defer cancel()
		_ = d.rooms[policyBucket].Purge(short, fmt.Sprintf(studentName, old-keptStudents)) // it only takes room
	}
}

// keptStudents is how many versions are stored.
const keptStudents = 16

// decision is an entry of the stream of decisions.
type decision struct {
	Schema int               `json:"v"`
	At     time.Time         `json:"at"`
	Kind   string            `json:"kind"` // plan, policy or quarantine
	Plan   *fleet.Plan       `json:"plan,omitempty"`
	Stage  *fleet.Stage      `json:"policy,omitempty"`
	Why    string            `json:"why,omitempty"`
	Fault  *fleet.Quarantine `json:"quarantine,omitempty"`
}

// record writes what is new to the stream of decisions.
func (d *duty) record(ctx context.Context, p fleet.Plan) {
	now := d.cfg.Clock()
	if p.Seq != d.lastPlan {
		d.lastPlan = p.Seq
		d.log.Info("plan", "epoch", p.Epoch, "plan", p.Seq, "reason", p.Reason, "weights", p.Weights.String())
		d.note(ctx, fmt.Sprintf("plan.%d.%d", p.Epoch, p.Seq), decision{At: now, Kind: "plan", Plan: &p})
	}
	if p.Policy != d.stage {
		d.stage = p.Policy
		_, why := d.centre.Halted()
		d.log.Info("policy", "stable", p.Policy.Stable, "candidate", p.Policy.Candidate, "canary", p.Policy.Canary,
			"share", p.Policy.Share, "taken_back", why)
		d.note(ctx, "", decision{At: now, Kind: "policy", Stage: &p.Policy, Why: why})
	}
	faults := d.centre.Faults()
	for i := range faults {
		if f := &faults[i]; f.At.After(d.lastFault) {
			d.lastFault = f.At
			d.log.Warn("quarantined", "node", f.Node, "reason", f.Reason, "detail", f.Detail)
			d.note(ctx, "", decision{At: now, Kind: "quarantine", Fault: f})
		}
	}
}

func (d *duty) note(ctx context.Context, id string, what decision) {
	if d.trouble != nil {
		return
	}
	what.Schema = fleet.Schema
	text, err := json.Marshal(what)
	if err != nil {
		d.log.Error("decision not written", "error", err)
		return
	}
	short, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	var o []jetstream.PublishOpt
	if id != "" {
		o = append(o, jetstream.WithMsgID(id))
	}
	if _, err := d.js.Publish(short, decisionSubject, text, o...); err != nil {
		d.troubled(err)
	}
}

// save keeps what was learned, for the next centre and for nodes that join.
func (d *duty) save(ctx context.Context) {
	if d.cfg.Snapshot == nil || d.trouble != nil {
		return
	}
	text, err := d.cfg.Snapshot(d.policy)
	if err == nil && text != nil {
		short, cancel := context.WithTimeout(ctx, storeWait)
		defer cancel()
		_, err = d.rooms[beliefsBucket].Put(short, beliefsKey, text)
	}
	if err != nil {
		d.log.Warn("what was learned is not kept", "error", err)
	}
}

// show brings the status up to date, here and on the bus.
func (d *duty) show(ctx context.Context, now time.Time) {
	p := d.centre.Plan()
	st := Status{Schema: fleet.Schema, At: now, Centre: d.cfg.ID, Planning: true, Epoch: p.Epoch, Plan: p.Seq,
		Reason: d.centre.Reason(), Weights: p.Weights,
		Nodes: d.centre.Nodes(now), Policy: d.centre.PolicyLine(), Faults: d.centre.Faults(), Rates: d.centre.Rates(),
		Samples:   d.count,
		Discarded: d.discarded}
	if d.trouble != nil {
		st.Trouble = "store: " + d.trouble.Error()
	}
	if n := len(d.lags); n > 0 {
		sorted := slices.Clone(d.lags)
		slices.Sort(sorted)
		st.LagSec = LagLine{P50: sorted[n/2], P99: sorted[min(n-1, n*99/100)], Max: sorted[n-1]}
	}
	d.set(func(s *Status) { *s = st })
	if text, err := json.Marshal(st); err == nil && len(text) < 4<<20 && d.trouble == nil {
		d.put(ctx, statusBucket, statusKey, st)
	}
}
