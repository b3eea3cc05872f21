package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trimtab/fleet/bus"
	"trimtab/nginx/instance"
)

// another starts one more NGINX in front of the bed's servers, with what a daemon needs to tune it.
func (b *tunedBed) another(n int) *tunedBed {
	b.t.Helper()
	ports, err := instance.FreePorts(2)
	if err != nil {
		b.t.Fatal(err)
	}
	from, to := b.NGINX.Dir, fmt.Sprintf("%s-%d", b.NGINX.Dir, n)
	if err := os.MkdirAll(filepath.Join(to, "lua"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if _, err := instance.Prepare(to); err != nil {
		b.t.Fatal(err)
	}
	own := strings.TrimPrefix(b.URL, "http://")
	listen := fmt.Sprintf("127.0.0.1:%d", ports[0])
	copied := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			b.t.Fatal(err)
		}
		return strings.ReplaceAll(strings.ReplaceAll(string(text), from, to), own, listen)
	}
	files, err := filepath.Glob(filepath.Join(from, "lua", "*"))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(to, "lua", filepath.Base(f)), []byte(copied(f)), 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	nginx, err := instance.Start(b.t.Context(), to, copied(b.NGINX.Config), listen)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(nginx.Stop)
	bed := *b.Testbed
	bed.NGINX, bed.URL, bed.StatusURL = nginx, "http://"+listen, strings.Replace(b.StatusURL, own, listen, 1)
	dir := filepath.Join(b.dir, fmt.Sprint("node-", n))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	return &tunedBed{Testbed: &bed, daemonBed: daemonBed{t: b.t, dir: dir, config: filepath.Join(dir, "trimtab.toml"),
		listen: fmt.Sprintf("127.0.0.1:%d", ports[1])}, pace: b.pace}
}

// centreBed is a centre with keys for three nodes.
type centreBed struct {
	t                                *testing.T
	dir, keys, out, servers, ask, at string
	stop                             func() int
	log                              *buffer
}

// startCentre makes the keys and starts the centre.
func startCentre(t *testing.T, dir string) *centreBed {
	t.Helper()
	c := &centreBed{t: t, dir: dir, keys: filepath.Join(dir, "keys"), out: filepath.Join(dir, "out")}
	for _, args := range [][]string{{"init"}, {"node", "edge-1", "edge-2", "edge-3", "--out", c.out}} {
		stderr := new(buffer)
		if code := run(t.Context(), append([]string{"fleet", "keys", "--keys", c.keys}, args...), io.Discard,
			stderr); code != 0 {
			t.Fatalf("keys %v: code %d: %s", args, code, stderr)
		}
	}
	ports, err := instance.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	c.at, c.ask = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	c.servers = "tls://" + c.at
	if err := os.WriteFile(filepath.Join(dir, "centre.toml"),
		[]byte("interval = \"1s\"\n[status]\npoll = \"500ms\"\n[regimes]\noff = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start()
	return c
}

func (c *centreBed) start() {
	_, c.log, c.stop = start(c.t, "fleet", "--config", filepath.Join(c.dir, "centre.toml"), "--keys", c.keys, "--store",
		filepath.Join(c.dir, "store"), "--listen", c.at, "--ask", c.ask)
}

// joins is the configuration of a node that reaches the centre at the servers given.
func (c *centreBed) joins(name, servers string) string {
	return fmt.Sprintf("[fleet]\nservers = [%q]\nca = %q\ncert = %q\nkey = %q\npatience = \"5s\"\n[regimes]\noff = true",
		servers, filepath.Join(c.out, name, "ca.pem"), filepath.Join(c.out, name, "node.pem"),
		filepath.Join(c.out, name, "node.key"))
}

func TestE2EFleetOfThree(t *testing.T) {
	one := startBed(t)
	two, three := one.another(2), one.another(3)
	c := startCentre(t, one.dir)
	join := func(b *tunedBed, name string) *buffer {
		b.configure(c.joins(name, c.servers))
		_, stderr, _ := start(t, "tune", "--config", b.config)
		return stderr
	}
	for i, b := range []*tunedBed{one, two, three} {
		_, _, stop := start(t, "load", "--target", b.URL, "--workload", "compose-post", "--arrival", "exp", "--rate",
			"50", "--duration", "10m", "--seed",
			fmt.Sprint(i+1))
		t.Cleanup(func() { stop() })
	}
	log := join(one, "edge-1")
	join(two, "edge-2")
	await(t, "one plan, with the largest weight for the largest server, at both nodes", func() bool {
		v, w := one.weights(), two.weights()
		return fmt.Sprint(v) == fmt.Sprint(w) && v[2] > v[0]
	})
	await(t, "the node to say that it is led", one.counted(`trimtab_fleet_mode{mode="led"}`))
	join(three, "edge-3")
	await(t, "the node that joined late to have the plan", func() bool {
		w := fmt.Sprint(three.weights()) // one of the others may try a policy
		return (w == fmt.Sprint(one.weights()) || w == fmt.Sprint(two.weights())) && three.metric(`trimtab_fleet_mode{mode="led"}`) == "1"
	})
	t.Logf("the node that joined late had the plan after %s steps", three.metric("trimtab_steps_total"))
	var st bus.Status
	said := ""
	await(t, "the status to show three nodes", func() bool {
		stdout := new(buffer)
		code := run(t.Context(), []string{"fleet", "status", "--keys", c.keys, "--servers", c.servers, "--json"}, stdout,
			io.Discard)
		said = stdout.String()
		return code == 0 && json.Unmarshal([]byte(stdout.String()), &st) == nil && len(st.Nodes) == 3 &&
			st.Nodes[2].HeardSec >= 0
	})
	conforms(t, "trimtab fleet status", said)
	stdout := new(buffer)
	if code := run(t.Context(), []string{"fleet", "status", "--keys", c.keys, "--servers", c.servers}, stdout,
		io.Discard); code != 0 ||
		!strings.Contains(stdout.String(), "edge-3") {
		t.Errorf("status: code %d: %s", code, stdout)
	}
	t.Log("\n" + stdout.String())
	if text, err := exec.Command("curl", "-s", "http://"+c.ask+"/metrics").Output(); err == nil &&
		!strings.Contains(string(text), "trimtab_centre_nodes{state=\"heard\"} 3") {
		t.Errorf("the metrics of the centre do not show three nodes: %s", text)
	}
	c.stop()
	await(t, "the nodes to go on without a centre", func() bool {
		return one.metric(`trimtab_fleet_mode{mode="led"}`) == "0"
	})
	if code, text := one.get("/healthz"); code != 200 {
		t.Errorf("without a centre: code %d, %s", code, text)
	}
	c.start()
	await(t, "the nodes to be led again", one.counted(`trimtab_fleet_mode{mode="led"}`))
	if t.Failed() {
		t.Logf("centre: %s\nnode: %s", c.log, log)
	}
}
