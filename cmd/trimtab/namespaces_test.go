package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"trimtab/nginx/dns"
	"trimtab/nginx/instance"
	"trimtab/nginx/lua"
	"trimtab/vts"
)

// contained is an NGINX in pid and mount namespaces of its own, as in a container that shares the network.
type contained struct {
	dir, front, page string
	servers          []string
	inside           int // pid, seen from here, of the master
}

// startContained starts it. The folder of its configuration is seen from here too, unless hidden: then it is empty
// here.
func startContained(t *testing.T, upstream func(servers []string) string, hidden bool) *contained {
	t.Helper()
	return startContainedWith(t, upstream, hidden, "")
}

// startContainedWith runs a shell command, which ends with &&, in the namespaces before NGINX; DIR in it is the folder.
func startContainedWith(t *testing.T, upstream func(servers []string) string, hidden bool, before string) *contained {
	t.Helper()
	needNGINX(t)
	if out, err := exec.Command("unshare", "--pid", "--mount", "--fork", "true").CombinedOutput(); err != nil {
		t.Skipf("no namespaces here: %v: %s", err, out)
	}
	c := &contained{dir: t.TempDir()}
	for range 2 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
		t.Cleanup(s.Close)
		c.servers = append(c.servers, s.Listener.Addr().String())
	}
	ports, err := instance.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	modules, err := instance.LuaModules()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := instance.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	main, err := instance.Prepare(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	c.front, c.page = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	shim := lua.Status{Dir: filepath.Join(c.dir, "lua"), Listen: c.page}
	files, err := shim.Files()
	if err != nil {
		t.Fatal(err)
	}
	if err := installFiles(shim.Dir, files); err != nil {
		t.Fatal(err)
	}
	text := modules + main + fmt.Sprintf("events {}\nhttp {\n%s    include %s;\n    upstream app {\n%s    }\n    "+
		"server { listen %s; location / { proxy_pass http://app; } }\n}\n",
		instance.HTTPPaths(c.dir), shim.HTTPSnippet(), upstream(c.servers), c.front)
	conf := c.conf()
	mount := strings.ReplaceAll(before, "DIR", c.dir)
	if hidden {
		conf = filepath.Join(c.dir, "kept")
		if err := os.Mkdir(filepath.Join(c.dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		mount += fmt.Sprintf("mount -t tmpfs tmpfs %[1]s/etc && cp %[1]s/kept %[1]s/etc/nginx.conf && ", c.dir)
	} else if err := os.Mkdir(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--pid", "--mount", "--propagation", "private", "--fork", "--kill-child", "sh", "-c",
		fmt.Sprintf("%sexec %s -p %s -c %s -g 'daemon off;'", mount, binary, c.dir, c.conf()))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// The death signal follows the thread that started the child, so that thread must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	await(t, "NGINX in its namespaces", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		if err != nil {
			return false
		}
		if _, err := fmt.Sscan(string(text), &c.inside); err != nil {
			return false
		}
		conn, err := net.DialTimeout("tcp", c.page, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return c
}

func (c *contained) conf() string { return filepath.Join(c.dir, "etc", "nginx.conf") }

func (c *contained) configure(t *testing.T, rest string) string {
	t.Helper()
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.dir, "trimtab.toml")
	if err := os.WriteFile(path, []byte(fmt.Sprintf(`interval = "500ms"
state_dir = %q
listen = "127.0.0.1:%d"
observe_first = "0s"
[status]
url = "http://%s%s"
poll = "100ms"
[tuner]
learner = "equal"
%s`, filepath.Join(c.dir, "state"), ports[0], c.page, lua.StatusPath, rest)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shown are the weights on the page of the servers that are no backups.
func (c *contained) shown(t *testing.T) map[string]int {
	t.Helper()
	client, err := vts.NewClient(vts.ClientConfig{URL: "http://" + c.page + lua.StatusPath, FreshConnections: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	out := map[string]int{}
	st, err := client.Status(t.Context())
	if err != nil {
		return out
	}
	for _, u := range st.Upstreams {
		for _, p := range u.Peers {
			if !p.Backup {
				out[p.Server] = p.Weight
			}
		}
	}
	return out
}

// An NGINX whose master is not to be seen is tested and reloaded by the operator's commands, and the page confirms.
func TestE2EContainerByCommands(t *testing.T) {
	c := startContained(t,
		func(s []string) string {
			return fmt.Sprintf("        server %s weight=3;\n        server %s;\n", s[0],
				s[1])
		}, false)
	binary, err := instance.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	enter := func(args ...string) string {
		all := append([]string{"nsenter", "-t", fmt.Sprint(c.inside), "-m", "-p", binary, "-p", c.dir, "-c",
			c.conf()}, args...)
		return `["` + strings.Join(all, `", "`) + `"]`
	}
	config := c.configure(t, fmt.Sprintf("[nginx]\nconfig = %q\ntest_command = %s\nreload_command = %s\n", c.conf(),
		enter("-t", "-q"), enter("-s", "reload")))
	_, stderr, stop := start(t, "tune", "--config", config)
	defer func() {
		if t.Failed() {
			t.Log(stderr)
		}
	}()
	await(t, "equal weights", func() bool { w := c.shown(t); return w[c.servers[0]] == 1 && w[c.servers[1]] == 1 })
	if code := stop(); code != 0 || strings.Contains(stderr.String(), "level=ERROR") {
		t.Errorf("code %d: %s", code, stderr)
	}
	text, err := os.ReadFile(c.conf())
	if err != nil || strings.Contains(string(text), "weight=3") {
		t.Errorf("the file: %v\n%s", err, text)
	}
}

// A configuration that only the container has is read through its master's root, which is found.
func TestE2EContainerIsFound(t *testing.T) {
	c := startContained(t, func(s []string) string {
		return fmt.Sprintf("        least_conn;\n        server %s weight=3;\n        server %s;\n", s[0], s[1])
	}, true)
	binary, err := instance.Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := "/proc/*/root" + c.conf()
	out, errs := new(buffer), new(buffer)
	if code := run(t.Context(), []string{"nginx", "show", "-c", seen}, out, errs); code != 0 ||
		!strings.Contains(out.String(), "least_conn") {
		t.Errorf("show: code %d: %s%s", code, out, errs)
	}
	out = new(buffer)
	if code := run(t.Context(), []string{"nginx", "check", "-c", seen, "--nginx", binary}, out, errs); code != 0 ||
		!strings.Contains(out.String(), fmt.Sprintf("process %d\n", c.inside)) {
		t.Errorf("check: code %d, want process %d found: %s%s", code, c.inside, out, errs)
	}
	if code := run(t.Context(), []string{"nginx", "set", "-c", seen, "--nginx", binary, "--upstream", "app", "--weight",
		c.servers[0] + "=2"}, out,
		errs); code != exitRefused || !strings.Contains(errs.String(), "use dns or live") {
		t.Errorf("set: code %d: %s, want to be told what works", code, errs)
	}
	config := c.configure(t, fmt.Sprintf("[nginx]\nconfig = %q\nbinary = %q\n", seen, binary))
	_, stderr, stop := start(t, "tune", "--config", config)
	defer func() {
		if t.Failed() {
			t.Log(stderr)
		}
	}()
	await(t, "the hold to be said", func() bool { return strings.Contains(stderr.String(), "use dns or live") })
	if code := stop(); code != 0 {
		t.Errorf("code %d: %s", code, stderr)
	}
	if w := c.shown(t); w[c.servers[0]] != 3 {
		t.Errorf("got %v, want nothing changed", w)
	}
}

// What stands in the container cannot even be read, or only through its root: by DNS it need not be changed.
func TestE2EContainerByDNS(t *testing.T) {
	needDNS(t)
	t.Run("a configuration that cannot be read", func(t *testing.T) {
		containerByDNS(t, func(*contained) string { return "" })
	})
	t.Run("a configuration read through the container's root", func(t *testing.T) {
		containerByDNS(t, func(c *contained) string { return "/proc/*/root" + c.conf() })
	})
}

func containerByDNS(t *testing.T, configuration func(*contained) string) {
	t.Helper()
	resolver, err := freeResolver()
	if err != nil {
		t.Fatal(err)
	}
	c := startContained(t, func(s []string) string {
		return fmt.Sprintf("        zone app 128k;\n        resolver %s ipv6=off; resolver_timeout 1s;\n        "+
			"server %s service=http resolve;\n        server %s weight=3 backup;\n        server %s backup;\n",
			resolver, dns.Host("app", dns.DefaultZone), s[0], s[1])
	}, true)
	if _, err := os.Stat(c.conf()); err == nil {
		t.Fatal("the configuration is to be seen from here")
	}
	store := dns.Store{Path: filepath.Join(c.dir, "state", "dns.json")}
	if _, _, err := store.Update(t.Context(), func(s *dns.State) (bool, error) {
		s.Upstreams["app"] = dns.Upstream{Servers: []dns.Peer{{Address: c.servers[0], Weight: 3, Base: 3},
			{Address: c.servers[1], Weight: 1, Base: 1}}}
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	config := c.configure(t, fmt.Sprintf("[nginx]\nconfig = %q\n[actuator]\nkind = \"dns\"\ndns_listen = %q\n",
		configuration(c), resolver))
	_, stderr, stop := start(t, "tune", "--config", config)
	await(t, "equal weights", func() bool { w := c.shown(t); return len(w) == 2 && w[c.servers[0]] == w[c.servers[1]] })
	if code := stop(); code != 0 || strings.Contains(stderr.String(), "level=ERROR") {
		t.Errorf("code %d: %s", code, stderr)
	}
}
