package bus

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"trimtab/fleet"
)

// external is a nats-server of its own, as operators run it: its program, its configuration file, one process.
type external struct {
	name, url string
	cmd       *exec.Cmd
}

// externals starts a cluster of three.
func (b *bed) externals() []*external {
	b.t.Helper()
	program := filepath.Join(b.dir, "nats-server")
	build := exec.Command("go", "build", "-o", program, "github.com/nats-io/nats-server/v2")
	if out, err := build.CombinedOutput(); err != nil {
		b.t.Skipf("nats-server is not built here: %v: %s", err, out)
	}
	b.permissions()
	var routes []string
	for range 3 {
		routes = append(routes, fmt.Sprintf("%q", "nats-route://"+address(b.t)))
	}
	var all []*external
	for i, own := range routes {
		e := &external{name: fmt.Sprint("nats-", i+1)}
		listen := address(b.t)
		e.url = "tls://" + listen
		keys := fmt.Sprintf("cert_file: %q, key_file: %q, ca_file: %q", b.keys.path("centre", ".pem"),
			b.keys.path("centre", ".key"), b.keys.path("ca", ".pem"))
		text := fmt.Sprintf(`server_name: %s
listen: %s
max_payload: 8MB
jetstream { store_dir: %q }
tls { %s, verify_and_map: true }
cluster { name: nats, listen: %s, routes: [%s], tls { %s, verify: true } }
include "permissions.conf"
`, e.name, listen, filepath.Join(b.dir, e.name), keys, strings.TrimPrefix(strings.Trim(own, `"`), "nats-route://"),
			strings.Join(routes, ", "), keys)
		config := filepath.Join(b.dir, e.name+".conf")
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			b.t.Fatal(err)
		}
		var said bytes.Buffer
		e.cmd = exec.Command(program, "-c", config)
		e.cmd.Stderr = &said
		if err := e.cmd.Start(); err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() {
			e.kill()
			if b.t.Failed() {
				b.t.Logf("%s:\n%s", e.name, said.String())
			}
		})
		all = append(all, e)
	}
	return all
}

// permissions writes what trimtab fleet keys nats prints.
func (b *bed) permissions() {
	b.t.Helper()
	var text bytes.Buffer
	err := b.keys.WriteConfig(&text)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, "permissions.conf"), text.Bytes(), 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// kill ends the process as kill -9 does.
func (e *external) kill() {
	if e.cmd.ProcessState == nil {
		_ = e.cmd.Process.Kill()
		_ = e.cmd.Wait() // killed
	}
}

// leader is the server that leads the stream of samples.
func (b *bed) leader() string {
	nc, js := b.jetStream()
	defer nc.Close()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, samplesStream)
	if err != nil || s.CachedInfo().Cluster == nil {
		return ""
	}
	return s.CachedInfo().Cluster.Leader
}

func TestThreeServersOfSomebodyElse(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers that elect leaders take a while")
	}
	t.Parallel()
	b := newBed(t, "one", "gone")
	servers := b.externals()
	var urls []string
	for _, e := range servers {
		urls = append(urls, e.url)
	}
	b.url = urls[0]
	policy := &fixed{want: ratio(3, 1)}
	b.station(policy, func(c *StationConfig) { c.Servers, c.Replicas = urls, 3 })
	all := func(c *LinkConfig, _ *node) { c.Servers = urls }
	one, gone := b.node("one", all), b.node("gone", all)
	b.until("both follow", func() bool {
		return one.inForce.Equal(ratio(3, 1)) && gone.inForce.Equal(ratio(3, 1))
	}, one, gone)

	if err := b.keys.Revoke("gone"); err != nil {
		t.Fatal(err)
	}
	b.permissions()
	for _, e := range servers {
		if err := e.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	b.until("the node whose certificate is revoked is cut off", func() bool {
		return !gone.link.Attached() && gone.policy.Status().Mode != fleet.Led
	}, one, gone)

	lead := ""
	b.until("one server leads", func() bool { lead = b.leader(); return lead != "" }, one)
	for _, e := range servers {
		if e.name == lead {
			e.kill()
		} else {
			b.url = e.url
		}
	}
	policy.set(ratio(1, 4))
	b.until("the other node follows a plan after the leader was killed", func() bool {
		return one.inForce.Equal(ratio(1, 4))
	}, one)
	if !gone.inForce.Equal(ratio(3, 1)) {
		t.Errorf("the node that was cut off has %v in force, want the last plan that it was told", gone.inForce)
	}
	acknowledged, _, _ := one.link.Counts()
	b.until("samples are acknowledged by the two that are left", func() bool {
		now, _, _ := one.link.Counts()
		return now > acknowledged+5
	}, one)
	if stored := b.stored("one"); stored < acknowledged {
		t.Errorf("%d samples stored, want at least the %d that were acknowledged", stored, acknowledged)
	}
}
