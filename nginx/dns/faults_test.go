package dns_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trimtab/nginx"
	"trimtab/nginx/dns"
	"trimtab/nginx/instance"
)

// none checks that the load lost nothing.
func none(t *testing.T, l *load) {
	t.Helper()
	if got := l.stop(); got.failed > 0 || got.sent == 0 {
		t.Errorf("got %d of %d requests lost, the first by %s; want none", got.failed, got.sent, got.first)
	}
}

// shares checks that a round of the weights is exactly these.
func (b *bed) shares(t *testing.T, weights ...int) {
	t.Helper()
	sum := 0
	for _, w := range weights {
		sum += w
	}
	if got := b.answers(t, sum); !slices.Equal(got, weights) {
		t.Errorf("got %v, want %v", got, weights)
	}
}

// While nobody answers, NGINX keeps its weights; whoever answers again goes on from the state that was written.
func TestTrimtabIsAway(t *testing.T) {
	b := newBed(t, 2, "", false)
	a := b.actuator(t)
	if _, err := a.Apply(t.Context(), b.want(3, 7)); err != nil {
		t.Fatal(err)
	}
	l := b.load(t, 4)
	b.stopDNS()
	t.Run("a change is refused", func(t *testing.T) {
		r, err := a.Apply(t.Context(), b.want(1, 1))
		refusal := (*nginx.Refusal)(nil)
		if !errors.As(err, &refusal) || refusal.RetryAfter == 0 || r.Changed {
			t.Errorf("got %+v, %v, want a refusal that passes by itself", r, err)
		}
	})
	// NGINX's question fails after a second, and it asks anew a second later: long enough for several.
	away := time.Now()
	within(t, "NGINX to ask in vain", 20*time.Second, func() error {
		if time.Since(away) < 5*time.Second {
			return errors.New("not yet")
		}
		return nil
	})
	l.shares(t, 3, 7)
	b.serve(t)
	t.Run("and passes as soon as somebody answers again", func(t *testing.T) {
		within(t, "a change", 15*time.Second, func() error { _, err := a.Apply(t.Context(), b.want(2, 1)); return err })
	})
	none(t, l)
	b.shares(t, 2, 1)
}

// shares checks that the answers from now on fall in proportion to the weights.
func (l *load) shares(t *testing.T, weights ...int) {
	t.Helper()
	const n = 1000
	l.mu.Lock()
	clear(l.got)
	l.mu.Unlock()
	sum := 0
	for _, w := range weights {
		sum += w
	}
	within(t, "answers", 20*time.Second, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		total := 0
		for _, g := range l.got {
			total += g
		}
		if total < n {
			return fmt.Errorf("%d of %d", total, n)
		}
		for i, w := range weights {
			if want := total * w / sum; l.got[i] < want-n/20 || l.got[i] > want+n/20 {
				t.Errorf("got %v, want about %d for server %d", l.got, want, i)
			}
		}
		return nil
	})
}

// A restart of NGINX while nobody answers begins with the static lines; the weights come back with Trimtab.
func TestNGINXRestartsWhileTrimtabIsAway(t *testing.T) {
	b := newBed(t, 2, "", false)
	a := b.actuator(t)
	if _, err := a.Apply(t.Context(), b.want(1, 9)); err != nil {
		t.Fatal(err)
	}
	b.stopDNS()
	text, err := os.ReadFile(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	b.Stop()
	again, err := instance.Start(t.Context(), b.Dir, string(text), strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Stop)
	l := b.load(t, 4)
	l.shares(t, 1, 1)
	if _, err := a.InForce(t.Context()); err == nil {
		t.Error("in force: got no error, want to be told that NGINX goes by the static lines")
	}
	b.serve(t)
	b.waitInForce(t)
	none(t, l)
	b.shares(t, 1, 9)
}

// What answers from an old state does not take a change, which is then taken back.
func TestAnOldStateIsAnswered(t *testing.T) {
	b := newBed(t, 2, "", true)
	st, err := b.store.Read()
	if err != nil {
		t.Fatal(err)
	}
	old := dns.Store{Path: filepath.Join(t.TempDir(), "dns.json")}
	if _, _, err := old.Update(t.Context(), func(s *dns.State) (bool,
		error) {
		s.Upstreams = st.Upstreams
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	current := b.store
	b.store = old
	b.serve(t)
	b.waitInForce(t)
	b.store = current
	r, err := b.actuator(t).Apply(t.Context(), b.want(5, 1))
	rollback := (*nginx.RollbackError)(nil)
	if !errors.As(err, &rollback) || !strings.Contains(err.Error(), "still answers from serial") || r.Changed {
		t.Errorf("got %+v, %v, want the change to be taken back", r, err)
	}
	b.shares(t, 1, 1)
	if after, err := current.Read(); err != nil || fmt.Sprint(after.Settings()) != fmt.Sprint(st.Settings()) {
		t.Errorf("state: got %v, %v, want the one of before", after, err)
	}
}

// A resolver that takes longer than NGINX waits is none: the weights stay, and a change is taken back.
func TestSlowAnswers(t *testing.T) {
	b := newBed(t, 2, "", true)
	behind := freeAddress(t)
	front := b.listen
	b.listen = behind
	b.serve(t)
	d := delay(t, front, behind)
	b.waitInForce(t)
	l := b.load(t, 2)
	d.set(3 * time.Second)
	_, err := b.actuator(t).Apply(t.Context(), b.want(5, 1))
	rollback := (*nginx.RollbackError)(nil)
	if !errors.As(err, &rollback) || rollback.Restore != nil {
		t.Errorf("got %v, want the change to be taken back", err)
	}
	l.shares(t, 1, 1)
	d.set(0)
	within(t, "a change", 20*time.Second, func() error {
		_, err := b.actuator(t).Apply(t.Context(), b.want(2,
			3))
		return err
	})
	none(t, l)
}

// delayed passes UDP questions on and answers late.
type delayed struct {
	mu sync.Mutex
	by time.Duration
}

func (d *delayed) set(by time.Duration) { d.mu.Lock(); d.by = by; d.mu.Unlock() }

func (d *delayed) now() time.Duration { d.mu.Lock(); defer d.mu.Unlock(); return d.by }

func delay(t *testing.T, front, behind string) *delayed {
	t.Helper()
	d := &delayed{}
	in, err := net.ListenPacket("udp", front)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); in.Close(); all.Wait() })
	all.Go(func() {
		for {
			buf := make([]byte, 4096)
			n, from, err := in.ReadFrom(buf)
			if err != nil {
				return
			}
			all.Go(func() {
				out, err := net.Dial("udp", behind)
				if err != nil {
					return
				}
				defer out.Close()
				_ = out.SetDeadline(time.Now().Add(time.Second))
				_, _ = out.Write(buf[:n])
				reply := make([]byte, 4096)
				if n, err = out.Read(reply); err != nil {
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(d.now()):
					_, _ = in.WriteTo(reply[:n], from)
				}
			})
		}
	})
	return d
}

// The second of two servers waits until the first is gone, and then goes on from the same state.
func TestTwoServers(t *testing.T) {
	b := newBed(t, 2, "", false)
	first := b.stopDNS
	second, err := dns.NewServer(dns.ServerConfig{Listen: b.listen, Store: b.store, RetryPort: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = second.Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
	within(t, "the second to say who is in its way", 5*time.Second, func() error {
		if err := second.Answering(); err == nil || !strings.Contains(err.Error(),
			fmt.Sprintf("another Trimtab (pid=%d", os.Getpid())) {
			return fmt.Errorf("got %v", err)
		}
		return nil
	})
	l := b.load(t, 2)
	first()
	within(t, "the second to take over", 5*time.Second, second.Answering)
	within(t, "a change", 10*time.Second, func() error {
		_, err := b.actuator(t).Apply(t.Context(), b.want(4,
			1))
		return err
	})
	none(t, l)
	b.shares(t, 4, 1)
}

// Somebody else's program on the port is named as such, and nothing is changed.
func TestThePortIsTaken(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	address := freeAddress(t)
	other, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	store := dns.Store{Path: filepath.Join(t.TempDir(), "dns.json")}
	s, err := dns.NewServer(dns.ServerConfig{Listen: address, Store: store, RetryPort: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = s.Run(ctx) })
	within(t, "the server to say so", 5*time.Second, func() error {
		if err := s.Answering(); err == nil || !strings.Contains(err.Error(), "address already in use") {
			return fmt.Errorf("got %v", err)
		}
		return nil
	})
	cancel()
	done.Wait()
	a, err := dns.New(dns.Config{Listen: address, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(t.Context(), nginx.Settings{}); err == nil || !strings.Contains(err.Error(),
		"no Trimtab answers DNS") {
		t.Errorf("got %v, want to be told that nobody answers", err)
	}
}

// A state that cannot be read any more changes nothing: what was answered before is answered still.
func TestAStateThatIsDamagedWhileItIsAnswered(t *testing.T) {
	b := newBed(t, 2, "", false)
	if _, err := b.actuator(t).Apply(t.Context(), b.want(2, 5)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", `{"format":1,"serial":99,"upstreams":{"app":{"servers":[]}}}`} {
		if err := os.WriteFile(b.store.Path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		within(t, "the damage to be noticed or not", 3*time.Second, func() error {
			got, err := dns.Lookup(t.Context(), b.listen, dns.DefaultZone, "app")
			if err == nil && (len(got) != 2 || got[1].Weight != 5) {
				t.Fatalf("after %q: got %v, want what was answered before", text, got)
			}
			return err
		})
	}
	if _, err := b.actuator(t).Apply(t.Context(), b.want(1, 1)); err == nil || !strings.Contains(err.Error(),
		"read DNS state") {
		t.Errorf("got %v, want to be told that the state cannot be read", err)
	}
	b.shares(t, 2, 5)
}

// weight= beside resolve overrides what DNS says: NGINX never shows the change, and it is taken back.
func TestWeightBesideResolve(t *testing.T) {
	b := newBed(t, 2, "", false)
	text, err := os.ReadFile(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	b.Stop()
	again, err := instance.Start(t.Context(), b.Dir, strings.Replace(string(text), "service=http resolve",
		"service=http resolve weight=3", 1), strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Stop)
	_, err = b.actuator(t).Apply(t.Context(), b.want(1, 2))
	rollback := (*nginx.RollbackError)(nil)
	if !errors.As(err, &rollback) || !strings.Contains(err.Error(), "shows weight 3") {
		t.Errorf("got %v, want the change to be taken back for what the page shows", err)
	}
}

// A list of members in a file makes servers come and go without a reload, and nothing is lost.
func TestServersComeAndGoByFile(t *testing.T) {
	b := newBed(t, 3, "", false)
	a := b.actuator(t)
	file := filepath.Join(t.TempDir(), "app.json")
	write := func(servers ...string) {
		text, err := json.Marshal(servers)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file+".new", text, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(b.servers...)
	f := &dns.Follower{Members: []dns.Members{{Upstream: "app", File: file}}, Join: func(ctx context.Context,
		upstream string, members []dns.Member) error {
		_, err := a.Change(ctx, []string{upstream}, func(s *dns.State) (bool, error) {
			return s.Join(upstream,
				members)
		})
		return err
	}}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = f.Run(ctx) })
	t.Cleanup(func() { cancel(); done.Wait() })
	before, err := b.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shown := func(want ...string) func() error {
		return func() error {
			st, err := b.status(t.Context())
			if err != nil {
				return err
			}
			var got []string
			for _, p := range st.Upstreams["app"] {
				if !p.Backup {
					got = append(got, p.Server)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				return fmt.Errorf("the page shows %v, want %v", got, want)
			}
			return nil
		}
	}
	l := b.load(t, 4)
	write(b.servers[:2]...)
	within(t, "the third server to go", 10*time.Second, shown(b.servers[:2]...))
	if got := b.answers(t, 100); got[2] != 0 {
		t.Errorf("got %v, want nothing for the third", got)
	}
	write() // nobody left: refused, and nothing changes
	write(b.servers...)
	within(t, "the third server to come back", 10*time.Second, shown(b.servers...))
	none(t, l)
	after, err := b.status(t.Context())
	if err != nil || after.LoadMsec != before.LoadMsec {
		t.Errorf("loaded: got %d, %v, want no reload since %d", after.LoadMsec, err, before.LoadMsec)
	}
}

// A hundred changes under POSTs over kept connections lose nothing. (The matrix' benchmark makes as many at 1,000 POSTs
// a second; here a few are enough to catch what breaks.)
func TestChangesLoseNothing(t *testing.T) {
	b := newBed(t, 3, "keepalive 16;", false)
	a := b.actuator(t)
	l := b.load(t, 8)
	changes := 10
	if testing.Short() {
		changes = 3
	}
	for i := range changes {
		if _, err := a.Apply(t.Context(), b.want(1+i%7, 3, 2)); err != nil {
			t.Fatal(err)
		}
	}
	none(t, l)
}
