package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"trimtab/fleet"
	"trimtab/vts"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestDuplicatedAndReorderedMessages(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two")
	b.process()
	one, two := b.node("one"), b.node("two")
	b.until("the load of both is known", func() bool {
		st := b.status()
		return st.requests() > 900 && st.requests() < 1100
	}, one, two)
	nc, js := b.jetStream()
	defer nc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, samplesStream)
	if err != nil {
		t.Fatal(err)
	}
	last, err := stream.GetLastMsgForSubject(ctx, samplePrefix+"one")
	if err != nil {
		t.Fatal(err)
	}
	for seq := last.Sequence; seq > 0 && seq+12 > last.Sequence; seq-- { // the newest first, under ids that nobody used
		m, err := stream.GetMsg(ctx, seq)
		if err != nil {
			continue
		}
		if _, err := js.Publish(ctx, m.Subject, m.Data, jetstream.WithMsgID(fmt.Sprint("again-", seq))); err != nil {
			t.Fatal(err)
		}
	}
	b.until("the copies are quarantined", func() bool {
		st := b.status()
		return slices.ContainsFunc(st.Faults, func(f FaultLine) bool { return f.Reason == fleet.Replayed })
	}, one, two)
	if st := b.status(); st.requests() > 1100 || st.requests() < 900 {
		t.Errorf("got %.0f requests per second, want those of two nodes, about 1000", st.requests())
	}
}

func TestClocksThatAreAnHourOff(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two", "ahead", "behind")
	b.want(ratio(3, 1))
	b.process()
	one, two := b.node("one"), b.node("two")
	ahead := b.node("ahead", func(_ *LinkConfig, n *node) { n.skew = time.Hour })
	behind := b.node("behind", func(_ *LinkConfig, n *node) { n.skew = -time.Hour })
	b.until("both others follow", func() bool {
		return one.inForce.Equal(ratio(3, 1)) && two.inForce.Equal(ratio(3, 1))
	}, one, two, ahead, behind)
	b.until("the future is quarantined", func() bool {
		st := b.status()
		return slices.ContainsFunc(st.Faults, func(f FaultLine) bool {
			return f.Node == "ahead" && f.Reason == fleet.FutureDated
		})
	}, one, two, ahead, behind)
	b.until("both say that they refuse plans", func() bool {
		return strings.Contains(ahead.policy.Status().Refused, "too old") &&
			strings.Contains(behind.policy.Status().Refused, "clocks differ")
	}, one, two, ahead, behind)
	for _, n := range []*node{ahead, behind} {
		if got := n.policy.Status().Mode; got != fleet.Alone {
			t.Errorf("got mode %s with a wrong clock, want %s", got, fleet.Alone)
		}
	}
	if st := b.status(); st.requests() > 1100 {
		t.Errorf("got %.0f requests per second, want those of the two nodes whose clocks are right", st.requests())
	}
}

func TestPoisonedStatusPage(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two", "three", "bad")
	b.process()
	var honest []*node
	for _, name := range []string{"one", "two", "three"} {
		honest = append(honest, b.node(name))
	}
	bad := b.node("bad", func(_ *LinkConfig, n *node) {
		n.change = func(s *vts.Sample) { // server a is said to take fifty times as long as all others see
			p := &s.Groups[0].Peers[0]
			p.ResponseMsec *= 50
			p.RequestMsec *= 50
		}
	})
	everybody := append(slices.Clone(honest), bad)
	b.until("the node is left out, with a reason", func() bool {
		st := b.status()
		n := st.node("bad")
		return n.LeftOut && n.Fault != nil && n.Fault.Reason == fleet.Contradicting && strings.Contains(n.Fault.Detail,
			"others in 20 ms")
	}, everybody...)
	bad.change = func(s *vts.Sample) { s.Groups[0].Peers[0].Requests += 5 } // more requests than answers
	b.until("what cannot be is quarantined", func() bool {
		st := b.status()
		return slices.ContainsFunc(st.Faults, func(f FaultLine) bool {
			return f.Node == "bad" && f.Reason == fleet.Impossible
		})
	}, everybody...)
	if st := b.status(); st.node("one").Quarantined != 0 {
		t.Errorf("%d samples of an honest node were quarantined", st.node("one").Quarantined)
	}
}

func TestTwoNodesWithTheSameName(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "twin")
	b.want(ratio(3, 1))
	b.process()
	one, first := b.node("one"), b.node("twin")
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) && first.inForce.Equal(ratio(3, 1)) },
		one, first)
	second := b.node("twin")
	b.until("the name is quarantined", func() bool {
		st := b.status()
		return slices.ContainsFunc(st.Faults, func(f FaultLine) bool {
			return f.Node == "twin" && f.Reason == fleet.SameName
		})
	}, one, first, second)
	b.want(ratio(1, 4))
	b.until("the other node goes on", func() bool { return one.inForce.Equal(ratio(1, 4)) }, one, first, second)
}

func TestRevokedCredentials(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "gone")
	b.want(ratio(3, 1))
	b.process()
	one, gone := b.node("one"), b.node("gone")
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) && gone.inForce.Equal(ratio(3, 1)) },
		one, gone)
	if err := b.keys.Revoke("gone"); err != nil {
		t.Fatal(err)
	}
	b.until("the node is cut off and goes on", func() bool {
		return !gone.link.Attached() && gone.policy.Status().Mode != fleet.Led
	}, one, gone)
	b.want(ratio(1, 4))
	b.until("the other one follows", func() bool { return one.inForce.Equal(ratio(1, 4)) }, one, gone)
	if !gone.inForce.Equal(ratio(3, 1)) {
		t.Errorf("the node whose certificate was revoked has %v in force, want the last plan that it was told",
			gone.inForce)
	}
}

func TestNodeOfThePreviousVersion(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "old", "new")
	b.want(ratio(3, 1))
	b.process()
	one := b.node("one")
	old := b.node("old", func(c *LinkConfig, _ *node) { c.Schema = 1 })
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) && old.inForce.Equal(ratio(3, 1)) }, one,
		old)
	b.until("the load of both is known", func() bool {
		st := b.status()
		return st.requests() > 900 && st.requests() < 1100
	}, one, old)
	// One of a version that is still to come is not understood, and disturbs nobody.
	id := b.identity("new")
	nc, err := dial([]string{b.url}, id, b.log)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	waitFor(t, "connection", nc.IsConnected)
	s := fleet.NewSample("new", "boot", 1, vts.Sample{At: time.Now(), Interval: tick})
	s.Schema = fleet.Schema + 1
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish(samplePrefix+"new", text); err != nil {
		t.Fatal(err)
	}
	b.until("it is refused with a reason", func() bool {
		st := b.status()
		return slices.ContainsFunc(st.Faults, func(f FaultLine) bool {
			return f.Node == "new" && f.Reason == fleet.Unreadable && strings.Contains(f.Detail, "version")
		})
	}, one, old)
}

func TestCentreOfThePreviousVersion(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one")
	b.server()
	nc, js := b.jetStream()
	defer nc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := prepare(ctx, js, 1); err != nil {
		t.Fatal(err)
	}
	old := fleet.Plan{Epoch: 1, Seq: 1, IssuedMS: time.Now().UnixMilli(), Weights: ratio(3, 1)}.For(1)
	text, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan *nats.Msg, 1024)
	if _, err := nc.ChanSubscribe(samplePrefix+"one", heard); err != nil {
		t.Fatal(err)
	}
	one := b.node("one")
	b.until("the node follows", func() bool {
		if err := nc.Publish(kvSubject(plansBucket, allKey), text); err != nil {
			t.Fatal(err)
		}
		return one.inForce.Equal(ratio(3, 1))
	}, one)
	b.until("the node reports as that centre reads it", func() bool {
		for {
			select {
			case m := <-heard:
				var s fleet.Sample
				if err := json.Unmarshal(m.Data, &s); err != nil {
					t.Fatal(err)
				}
				if s.Schema == 1 && s.Boot == "" && s.Seq > 0 {
					return true
				}
			default:
				return false
			}
		}
	}, one)
}
