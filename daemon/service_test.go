package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.etcd.io/bbolt"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// buffer collects what is logged, for reading while more comes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// steadyPage is the status page of an NGINX under steady load, of one upstream with two servers. It is gone for as long
// as failing says so.
type steadyPage struct {
	began   time.Time
	failing func(since time.Duration) bool
}

func (p *steadyPage) Status(context.Context) (vts.Status, error) { return p.at(time.Now()) }

func (p *steadyPage) at(now time.Time) (vts.Status, error) {
	since := now.Sub(p.began)
	if p.failing(since) {
		// The port differs each time, as that of a connection that is reset does.
		return vts.Status{}, fmt.Errorf("read tcp 127.0.0.1:%d->127.0.0.1:8081: connection reset by peer",
			30000+since.Milliseconds()%20000)
	}
	n := uint64(since.Milliseconds() / 10)
	st := vts.Status{At: now, NowMsec: now.UnixMilli(), LoadMsec: p.began.UnixMilli(),
		Upstreams: []vts.Upstream{{Name: "app"}}}
	for _, server := range []string{"127.0.0.1:9001", "127.0.0.1:9002"} {
		peer := vts.Peer{Server: server, Weight: 1, Requests: n, ResponseMsec: 20 * n, RequestMsec: 20 * n}
		peer.Responses[1] = n
		st.Upstreams[0].Peers = append(st.Upstreams[0].Peers, peer)
	}
	st.Connections.Requests = 2 * n
	return st, nil
}

// testService is a service over an upstream "app" of two servers, with a state folder of its own. NGINX does not run.
func testService(t *testing.T, change func(*Config)) (*Service, *buffer, *prometheus.Registry) {
	t.Helper()
	dir := t.TempDir()
	cfg := Defaults()
	cfg.StateDir, cfg.ObserveFirst = filepath.Join(dir, "state"), 0
	cfg.Nginx.Config = filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(cfg.Nginx.Config, []byte("events {}\nhttp { upstream app { server 127.0.0.1:9001; server "+
		"127.0.0.1:9002; } }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(cfg)
	}
	log, reg := new(buffer), prometheus.NewRegistry()
	d, err := New(cfg, Options{Logger: slog.New(slog.NewTextHandler(log, nil)), Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.current().close() })
	d.session.cancel = func() {}
	d.session.look()
	return d, log, reg
}

func (d *Service) poll(t *testing.T, page vts.StatusSource) *vts.Poller {
	t.Helper()
	s, c := d.session, d.session.cfg.Status
	p, err := vts.NewPoller(page, vts.PollerConfig{Interval: time.Duration(c.Poll),
		StaleAfter: time.Duration(c.StaleAfter), Logger: d.log})
	if err != nil {
		t.Fatal(err)
	}
	s.poller, s.reader = p, p.Reader()
	return p
}

// knowsServers reports whether a snapshot holds something of both servers of the page.
func knowsServers(snapshot json.RawMessage) bool {
	return bytes.Contains(snapshot, []byte("127.0.0.1:9001")) && bytes.Contains(snapshot, []byte("127.0.0.1:9002"))
}

// steadySample is what a poller makes of two statuses of a steadyPage.
func steadySample(t *testing.T, page *steadyPage, interval time.Duration) vts.Sample {
	t.Helper()
	first, err := page.at(time.Unix(1000, 0))
	if err != nil {
		t.Fatal(err)
	}
	second, err := page.at(time.Unix(1000, 0).Add(interval))
	if err != nil {
		t.Fatal(err)
	}
	sample, err := vts.Delta(&first, &second)
	if err != nil {
		t.Fatal(err)
	}
	return sample
}

// learnedSnapshot is that of a policy that has seen both servers of the page.
func learnedSnapshot(t *testing.T, p control.Policy) json.RawMessage {
	t.Helper()
	page := &steadyPage{began: time.Unix(0, 0), failing: func(time.Duration) bool { return false }}
	sample := steadySample(t, page, 3*time.Second)
	p.Observe(sample, control.InForce(sample))
	p.Choose()
	snapshot, err := snapshotOf(p)
	if err != nil || !knowsServers(snapshot) {
		t.Fatalf("got %s, %v, want a snapshot of both servers", snapshot, err)
	}
	return snapshot
}

func TestTenMinutesWithoutTelemetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log, _ := testService(t, nil)
		const from, until = 2 * time.Minute, 12 * time.Minute
		page := &steadyPage{began: time.Now(), failing: func(since time.Duration) bool {
			return since >= from && since < until
		}}
		p := d.poll(t, page)
		ctx, cancel := context.WithCancel(t.Context())
		var polling sync.WaitGroup
		polling.Go(func() { _ = p.Run(ctx) })
		defer polling.Wait()
		defer cancel()
		tick := time.NewTicker(time.Duration(d.session.cfg.Interval))
		defer tick.Stop()
		known := false
		for time.Since(page.began) < 14*time.Minute {
			<-tick.C
			began := time.Now()
			_, err := d.Step(ctx)
			since := time.Since(page.began)
			switch {
			case since < from || since > until+30*time.Second:
				if err != nil || d.ready() != nil {
					t.Fatalf("at %v, with telemetry: got %v and %v", since, err, d.ready())
				}
				known = knowsServers(d.state.Snapshot)
			case since > from+15*time.Second && since < until:
				if !errors.Is(err, control.ErrTelemetry) || d.ready() == nil || d.report().Problem == "" {
					t.Fatalf("at %v, without telemetry: got %v, ready %v", since, err, d.ready())
				}
			}
			if took := time.Since(began); took > d.session.cfg.longestStep() || d.healthy() != nil {
				t.Fatalf("at %v: a step took %v, healthy %v", since, took, d.healthy())
			}
		}
		if !known || !knowsServers(d.state.Snapshot) {
			t.Errorf("servers known: %t before, %s after, want both", known, d.state.Snapshot)
		}
		if n := strings.Count(log.String(), "level=WARN"); n == 0 || n > 15 {
			t.Errorf("%d warnings in ten minutes, want one a minute: %s", n, log)
		}
		if !strings.Contains(log.String(), "steps are completed again") {
			t.Errorf("log: %s, want the end of it", log)
		}
	})
}

func TestStartWithoutTelemetryLosesNothing(t *testing.T) {
	d, _, _ := testService(t, func(c *Config) { c.Status.StaleAfter = Span(time.Millisecond) })
	learned := State{Snapshot: learnedSnapshot(t, d.session.policy), Base: weights.Set{"app": {"127.0.0.1:9001": {}}},
		Observed: time.Hour}
	if err := d.store.Save(learned); err != nil {
		t.Fatal(err)
	}
	if err := d.restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.poll(t, &steadyPage{})
	if _, err := d.Step(t.Context()); !errors.Is(err, control.ErrTelemetry) {
		t.Fatalf("got %v, want no telemetry", err)
	}
	st, err := d.store.Read()
	if err != nil {
		t.Fatal(err)
	}
	if !knowsServers(st.Snapshot) || st.Observed != time.Hour || st.Base == nil {
		t.Errorf("saved: got %+v, want what was there", st)
	}
}

func TestStateOfANewerProgramIsPutAside(t *testing.T) {
	d, log, _ := testService(t, nil)
	if err := d.store.Save(State{Observed: time.Hour}); err != nil {
		t.Fatal(err)
	}
	path := d.session.cfg.StatePath()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("99")) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if err := d.restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(d.own.quarantined); n != 1 || d.state.Observed != 0 || !strings.Contains(log.String(),
		"newer") {
		t.Errorf("quarantined %v, state %+v, log %s", n, d.state, log)
	}
	if aside, _ := filepath.Glob(path + ".newer-*"); len(aside) != 1 {
		t.Errorf("put aside: %v", aside)
	}
}

func TestReloadOfTheConfigurationRenewsNothing(t *testing.T) {
	for _, c := range []struct {
		name           string
		change         func(*Config)
		policy, reload bool
	}{
		{"nothing was edited: tuner and budget go on", func(*Config) {}, true, true},
		{"the log was edited: tuner and budget go on", func(c *Config) { c.LogLevel = "debug" }, true, true},
		{"the tuner was edited: another one, which has learned what the last one had", func(c *Config) {
			c.Tuner.Headroom = 1.3
		}, false, true},
		{"the limit of reloads was edited", func(c *Config) { c.Actuator.Burst = 3 }, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, log, _ := testService(t, nil)
			last := d.session
			cfg := *last.cfg
			c.change(&cfg)
			next, err := newSession(&cfg, d.log, nil)
			if err != nil {
				t.Fatal(err)
			}
			if next.policy, err = d.newPolicy(next); err != nil {
				t.Fatal(err)
			}
			d.swap(next)
			if same := next.policy == last.policy; same != c.policy {
				t.Errorf("the same tuner: got %t, want %t", same, c.policy)
			}
			if same := next.own.Applier.Budget == last.own.Applier.Budget; same != c.reload {
				t.Errorf("the same budget of reloads: got %t, want %t", same, c.reload)
			}
			if log.String() != "" {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestMetricsFollowTheConventions(t *testing.T) {
	_, _, reg := testService(t, nil)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestStateThatCannotBeWrittenIsSurvived(t *testing.T) {
	d, log, _ := testService(t, nil)
	d.store = NewStore("/proc/trimtab/tuner.db", nil) // where nobody can make a folder
	for range 3 {
		d.save(d.current())
	}
	if n := testutil.ToFloat64(d.own.saveFailures); n != 3 {
		t.Errorf("got %v failures, want 3", n)
	}
	if n := strings.Count(log.String(), "state cannot be written"); n != 1 {
		t.Errorf("logged %d times, want once: %s", n, log)
	}
	d.store = NewStore(d.session.cfg.StatePath(), nil)
	d.save(d.current())
	if !strings.Contains(log.String(), "state is written again") {
		t.Errorf("log: %s, want the recovery", log)
	}
}
