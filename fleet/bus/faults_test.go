package bus

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"trimtab/fleet"
	"trimtab/weights"
)

func TestCentreIsKilledAndComesBack(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two")
	b.want(ratio(3, 1))
	p := b.process()
	one, two := b.node("one"), b.node("two")
	follow := func(w weights.Set) func() bool {
		return func() bool { return one.inForce.Equal(w) && two.inForce.Equal(w) }
	}
	b.until("both follow", follow(ratio(3, 1)), one, two)
	before := one.policy.Status()
	p.kill()
	b.until("the nodes notice", func() bool { return one.policy.Status().Mode != fleet.Led }, one, two)
	if !one.inForce.Equal(ratio(3, 1)) {
		t.Errorf("cut off, the node has %v in force, want the last plan", one.inForce)
	}
	acknowledged, _, _ := one.link.Counts()
	b.want(ratio(1, 4))
	p.start()
	b.until("both follow the new plan", follow(ratio(1, 4)), one, two)
	if after := one.policy.Status(); after.Epoch <= before.Epoch {
		t.Errorf("epoch %d after %d, want a higher one", after.Epoch, before.Epoch)
	}
	if stored := b.stored("one"); stored < acknowledged {
		t.Errorf("%d samples stored, want at least the %d that were acknowledged before the centre was killed", stored,
			acknowledged)
	}
}

// stored is how many samples of a node the stream holds.
func (b *bed) stored(node string) uint64 {
	b.t.Helper()
	nc, js := b.jetStream()
	defer nc.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, samplesStream)
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(samplePrefix+node))
	if err != nil {
		b.t.Fatal(err)
	}
	return info.State.Subjects[samplePrefix+node]
}

func (b *bed) jetStream() (*nats.Conn, jetstream.JetStream) {
	b.t.Helper()
	nc, err := dial([]string{b.url}, b.identity("centre"), b.log)
	if err != nil {
		b.t.Fatal(err)
	}
	waitFor(b.t, "connection", nc.IsConnected)
	js, err := jetstream.New(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	return nc, js
}

func TestDiskOfTheCentreIsFull(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two")
	small := filepath.Join(b.dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small).CombinedOutput(); err != nil {
		t.Skipf("no small disk can be made here: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", small).Run() })
	b.want(ratio(3, 1))
	p := b.process(func(c *childConfig) { c.Store = filepath.Join(small, "store") })
	one, two := b.node("one"), b.node("two")
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) && two.inForce.Equal(ratio(3, 1)) }, one,
		two)
	fill := filepath.Join(small, "fill")
	if err := os.WriteFile(fill, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	full := func() { // what is left, to the last byte
		f, err := os.OpenFile(fill, os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return
		}
		defer f.Close()
		for size := 1 << 20; size > 0; {
			if _, err := f.Write(make([]byte, size)); err != nil {
				size /= 2
			}
		}
	}
	b.until("the store fails", func() bool {
		full()
		log, err := os.ReadFile(p.log)
		return err == nil && strings.Contains(string(log), "the store does not answer")
	}, one, two)
	b.want(ratio(1, 4))
	b.until("both follow a plan that could not be stored", func() bool {
		full()
		return one.inForce.Equal(ratio(1, 4)) && two.inForce.Equal(ratio(1, 4))
	}, one, two)
	if _, waiting, _ := one.link.Counts(); waiting > MostWaiting {
		t.Errorf("%d samples wait, want at most %d", waiting, MostWaiting)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	sent, _, _ := one.link.Counts()
	b.until("samples are stored again", func() bool { now, _, _ := one.link.Counts(); return now > sent+5 }, one, two)
	b.want(ratio(2, 1))
	b.until("both follow again", func() bool {
		return one.inForce.Equal(ratio(2, 1)) && two.inForce.Equal(ratio(2, 1))
	}, one, two)
}

func TestSlowConsumerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	b := newBed(t, "one", "two")
	b.want(ratio(3, 1))
	b.process()
	one, two := b.node("one"), b.node("two")
	b.until("both follow", func() bool { return one.inForce.Equal(ratio(3, 1)) }, one, two)
	slow := b.deaf()
	defer slow.Close()
	nc, _ := b.jetStream()
	defer nc.Close()
	big := make([]byte, 1<<20)
	for range 80 { // more than the server keeps for a client, and the kernel
		if err := nc.Publish("test.noise", big); err != nil {
			t.Fatal(err)
		}
	}
	b.want(ratio(1, 4))
	b.until("both follow the new plan", func() bool {
		return one.inForce.Equal(ratio(1, 4)) && two.inForce.Equal(ratio(1, 4))
	}, one, two)
	_ = slow.SetReadDeadline(time.Now().Add(60 * time.Second))
	if _, err := io.Copy(io.Discard, slow); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("the slow client was not cut off: %v", err)
	}
}

// deaf is a client that subscribes to everything and reads nothing.
func (b *bed) deaf() net.Conn {
	b.t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	raw, err := net.Dial("tcp", u.Host)
	if err != nil {
		b.t.Fatal(err)
	}
	one := make([]byte, 1)
	for one[0] != '\n' { // INFO
		if _, err := raw.Read(one); err != nil {
			b.t.Fatal(err)
		}
	}
	cfg, err := b.identity("centre").TLS()
	if err != nil {
		b.t.Fatal(err)
	}
	cfg.ServerName = "127.0.0.1"
	c := tls.Client(raw, cfg)
	if _, err := io.WriteString(c, "CONNECT {\"verbose\":false}\r\nSUB test.noise 1\r\nPING\r\n"); err != nil {
		b.t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	for text := ""; !strings.Contains(text, "PONG"); {
		n, err := c.Read(buffer)
		if err != nil {
			b.t.Fatal(err)
		}
		text += string(buffer[:n])
	}
	return c
}
