package bus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
	"trimtab/control"

	"github.com/nats-io/nats.go"
)

func TestNodesShareWhatTheySeeAndFollowOnePlan(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two")
	b.server()
	policy := &fixed{}
	st := b.station(policy)
	one, two := b.node("one"), b.node("two")
	b.until("the centre sees the load of both", func() bool {
		s := policy.saw()
		return len(s.Groups) == 1 && s.Groups[0].Requests() >= 190 && s.Groups[0].Requests() <= 210
	}, one, two)
	policy.set(ratio(3, 1))
	b.until("both nodes have the plan in force", func() bool {
		return one.inForce.Equal(ratio(3, 1)) && two.inForce.Equal(ratio(3, 1))
	}, one, two)
	b.until("the plan is committed", func() bool {
		policy.mu.Lock()
		defer policy.mu.Unlock()
		return policy.done > 0
	}, one, two)
	got := st.Status()
	if len(got.Nodes) != 2 || got.Plan == 0 || got.Trouble != "" {
		t.Errorf("got status %+v, want two nodes and a plan", got)
	}
	for _, n := range got.Nodes {
		if n.LoadShare < 0.3 || n.LoadShare > 0.7 {
			t.Errorf("node %s has %.2f of the load, want about half", n.Node, n.LoadShare)
		}
	}
	// one that joins late has the plan before it was told by any decision
	three := b.keys.Issue("three", NodeRole, nil)
	if three != nil {
		t.Fatal(three)
	}
	late := b.node("three")
	b.until("the node that joined late follows", func() bool { return late.inForce.Equal(ratio(3, 1)) }, one, two, late)
}

func TestWhatACentreHasLearnedIsHandedOn(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "late")
	b.server()
	learned := json.RawMessage(`{"of":"the first centre"}`)
	stop := b.station(&fixed{}, func(c *StationConfig) {
		c.Snapshot = func(control.Policy) (json.RawMessage, error) { return learned, nil }
	}).stop
	one, late := b.node("one"), (*node)(nil)
	b.until("the first centre to plan", func() bool { return b.status().Planning }, one)
	late = b.node("late")
	b.until("a node that joins to have it", func() bool { return string(late.link.Beliefs()) == string(learned) }, one)
	stop()
	restored := make(chan string, 1)
	b.station(&fixed{}, func(c *StationConfig) {
		c.Restore = func(_ control.Policy, text json.RawMessage) error {
			select {
			case restored <- string(text):
			default:
			}
			return nil
		}
	})
	var got string
	b.until("the next centre to begin with it", func() bool {
		select {
		case got = <-restored:
			return true
		default:
			return false
		}
	}, one)
	if got != string(learned) {
		t.Errorf("got %s, want %s", got, learned)
	}
}

func TestWhatANodeMayNotDo(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two")
	b.server()
	b.station(&fixed{})
	for _, c := range []struct {
		name string
		do   func(*nats.Conn) error
	}{
		{"report as another node", func(nc *nats.Conn) error { return nc.Publish(samplePrefix+"two", nil) }},
		{"plan", func(nc *nats.Conn) error { return nc.Publish(kvSubject(plansBucket, allKey), nil) }},
		{"take the lease", func(nc *nats.Conn) error { return nc.Publish(kvSubject(leaseBucket, leaseKey), nil) }},
		{"greet as another node", func(nc *nats.Conn) error {
			return nc.Publish(kvSubject(membersBucket, "two"), nil)
		}},
		{"delete a stream", func(nc *nats.Conn) error {
			return nc.Publish("$JS.API.STREAM.DELETE."+samplesStream, nil)
		}},
		{"hear what others report", func(nc *nats.Conn) error {
			_, err := nc.SubscribeSync(samplePrefix + "*")
			return err
		}},
		{"hear another's answers", func(nc *nats.Conn) error {
			_, err := nc.SubscribeSync(inboxPrefix("two") + ".>")
			return err
		}},
		{"hear another's plan", func(nc *nats.Conn) error {
			_, err := nc.SubscribeSync(kvSubject(plansBucket, nodePrefix+"two"))
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused := make(chan error, 4)
			nc, err := dial([]string{b.url}, b.identity("one"), b.log,
				nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
					refused <- err
				}))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			waitFor(t, "connection", nc.IsConnected)
			if err := c.do(nc); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-refused:
				if !errors.Is(err, nats.ErrPermissionViolation) && !strings.Contains(err.Error(), "ermissions") {
					t.Errorf("got %v, want a violation of permissions", err)
				}
			case <-time.After(30 * time.Second):
				t.Error("nobody refused it")
			}
		})
	}
}

func TestWhoMayNotConnect(t *testing.T) {
	t.Parallel()
	b, other := newBed(t, "one"), newBed(t, "one")
	b.server()
	stranger, mixed := other.identity("one"), b.identity("one")
	stranger.CA = mixed.CA // it trusts this centre, but another authority signed it
	for _, c := range []struct {
		name string
		id   Identity
		want bool
	}{
		{"a node of this fleet", mixed, true},
		{"a node of another fleet", stranger, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			nc, err := dial([]string{b.url}, c.id, b.log, nats.RetryOnFailedConnect(false), nats.NoReconnect())
			if err == nil {
				nc.Close()
			}
			if (err == nil) != c.want {
				t.Errorf("got %v, want connected: %t", err, c.want)
			}
		})
	}
	t.Run("nobody without a certificate", func(t *testing.T) {
		nc, err := nats.Connect(b.url, nats.NoReconnect(), nats.Timeout(5*time.Second))
		if err == nil {
			nc.Close()
			t.Error("got a connection, want none")
		}
	})
	t.Run("a node that poses as a centre is not believed", func(t *testing.T) {
		cfg, err := b.identity("one").TLS()
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.VerifyConnection(tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf(t,
			b.identity("one"))}}); !errors.Is(err, errNotCentre) {
			t.Errorf("got %v, want %v", err, errNotCentre)
		}
	})
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within a minute: %s", what)
		case <-tick.C:
		}
	}
}

func leaf(t *testing.T, id Identity) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(id.Cert, id.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func TestNothingListensBeyondThisMachineUnlessToldTo(t *testing.T) {
	t.Parallel()
	s := newBed(t).server()
	if a, ok := s.srv.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		t.Errorf("got the address %v for nodes, want one of loopback", s.srv.Addr())
	}
	for what, a := range map[string]net.Addr{"cluster": s.srv.ClusterAddr(), "monitoring": s.srv.MonitorAddr()} {
		if a != nil && !reflect.ValueOf(a).IsNil() {
			t.Errorf("%s listens at %v, want nothing", what, a)
		}
	}
}
