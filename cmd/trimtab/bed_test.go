package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"trimtab/nginx/instance"
	"trimtab/nginx/lua"
)

// daemonBed is what every bed knows of the daemon that a test runs on it.
type daemonBed struct {
	t      *testing.T
	dir    string
	config string // trimtab.toml
	listen string // host:port that the daemon answers on
}

func (b *daemonBed) get(path string) (int, string) {
	resp, err := http.Get("http://" + b.listen + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// metric returns the value of a series as it stands on the page, "" when it is not there.
func (b *daemonBed) metric(series string) string {
	_, page := b.get("/metrics")
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// number is a series as a number, 0 when it is not there.
func (b *daemonBed) number(series string) float64 {
	v, _ := strconv.ParseFloat(b.metric(series), 64)
	return v
}

func (b *daemonBed) counted(series string) func() bool {
	return func() bool { m := b.metric(series); return m != "" && m != "0" }
}

// process starts the program as a process of its own, for signals.
func (b *daemonBed) process(args ...string) (*exec.Cmd, *buffer) {
	b.t.Helper()
	path, err := binary()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	stderr := new(buffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b.t.Failed() {
			b.t.Logf("daemon:\n%s", stderr)
		}
	})
	return cmd, stderr
}

func (b *daemonBed) signal(cmd *exec.Cmd, s syscall.Signal) {
	b.t.Helper()
	if err := cmd.Process.Signal(s); err != nil {
		b.t.Fatal(err)
	}
}

func (b *daemonBed) write(path string, text []byte) {
	b.t.Helper()
	if err := os.WriteFile(path, text, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// bed is an NGINX before servers that a test plays, with the status page of the Lua shim, and the configuration of a
// daemon that is not started yet. All their requests go to the upstream app.
type bed struct {
	daemonBed
	*instance.Instance
	servers  []string // host:port
	front    string   // URL of NGINX
	page     string   // URL of the status page
	control  string   // host:port of the live call
	token    string   // file of its token
	resolver string   // host:port where weights are answered by DNS
	conf     string   // nginx.conf, as it was when NGINX started
}

// bedPlan says how a bed is built.
type bedPlan struct {
	servers []http.Handler
	// kind is how weights are set: reload, live (installed as an operator does) or dns; empty: reload.
	kind      string
	admission bool // live: a share can be refused
	bare      bool // dns: trimtab nginx dns install is not run
	// more lines of nginx.conf: of http, of the upstream above its servers ("least_conn;"), of the location
	http, upstream, location string
	pace                     string // interval and poll of the daemon; empty: "1s 200ms"
	// daemon is what trimtab.toml ends with, first more lines of [actuator]; SERVER1 and so on are the servers.
	daemon string
}

// each are n servers, each with the handler that of makes.
func each(n int, of func(server int) http.HandlerFunc) (out []http.Handler) {
	for i := range n {
		out = append(out, of(i))
	}
	return out
}

// after is a server that answers after so long.
func after(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(d)
		fmt.Fprint(w, "ok")
	}
}

// newBed builds it and starts NGINX.
func newBed(t *testing.T, p bedPlan) *bed {
	t.Helper()
	p.kind = cmp.Or(p.kind, "reload")
	if needNGINX(t); p.kind == "dns" {
		needDNS(t)
	}
	modules, err := instance.LuaModules()
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	dir := t.TempDir()
	b := &bed{daemonBed: daemonBed{t: t, dir: dir, config: filepath.Join(dir, "trimtab.toml")}}
	ports, err := instance.FreePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	front, status := addr(0), addr(1)
	b.front, b.page, b.control, b.listen = "http://"+front+"/", "http://"+status+lua.StatusPath, addr(2), addr(3)
	b.token = filepath.Join(dir, "trimtab", "token")
	list := ""
	for i, h := range p.servers {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		b.servers = append(b.servers, s.Listener.Addr().String())
		list += "        server " + b.servers[i] + ";\n"
	}
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := func(include, location, zone string) string {
		return modules + main + fmt.Sprintf("worker_rlimit_nofile 20000;\nevents { worker_connections 8000; }\n"+
			"http {\n%s    access_log off;\n    %s\n    %s\n    upstream app {\n        %s\n%s        %s\n    }\n"+
			"    server {\n        listen %s;\n        location / { %s %s proxy_pass http://app; }\n    }\n}\n",
			instance.HTTPPaths(dir), include, p.http, p.upstream, list, zone, front, p.location, location)
	}
	if p.kind == "live" {
		b.conf = text(b.installLive(text("", "", ""), status, p.admission))
	} else {
		b.conf = text("include "+b.shim(status)+";", "", "")
	}
	if b.Instance, err = instance.Start(t.Context(), dir, b.conf, front, status); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	if p.kind == "dns" {
		if b.resolver, err = freeResolver(); err != nil {
			t.Fatal(err)
		}
	}
	b.configure(p)
	if p.kind == "dns" && !p.bare {
		if code, out, errs := b.dns(t, "install", "--write"); code != 0 {
			t.Fatalf("install: code %d: %s%s", code, out, errs)
		}
	}
	return b
}

// shim writes the status page of the shim and returns the file to include.
func (b *bed) shim(listen string) (snippet string) {
	b.t.Helper()
	shim := lua.Status{Dir: filepath.Join(b.dir, "lua"), Listen: listen}
	files, err := shim.Files()
	if err == nil {
		err = installFiles(shim.Dir, files)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return shim.HTTPSnippet()
}

// installLive runs trimtab nginx live install and returns the lines that it says are to be added: in http, in the
// location, in the upstream.
func (b *bed) installLive(conf, status string, admission bool) (include, location, zone string) {
	b.t.Helper()
	path := filepath.Join(b.dir, "nginx.conf")
	b.write(path, []byte(conf))
	args := []string{"nginx", "live", "install", "-c", path, "--listen", b.control, "--status-listen", status}
	if admission {
		args = append(args, "--admission", "app")
	}
	code, stdout, stderr := command(b.t.Context(), args...)
	if code != 0 {
		b.t.Fatalf("install: code %d: %s", code, stderr)
	}
	var lines []string
	for line := range strings.Lines(stdout) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "include ") || strings.HasPrefix(line, "zone ") {
			lines = append(lines, line)
		}
	}
	if !admission && len(lines) == 2 {
		lines = slices.Insert(lines, 1, "")
	}
	if len(lines) != 3 || admission && !strings.Contains(lines[1], "admission-app.conf") {
		b.t.Fatalf("install: got %s, want the lines to add", stdout)
	}
	return lines[0], lines[1], lines[2]
}

// configure writes trimtab.toml.
func (b *bed) configure(p bedPlan) {
	b.t.Helper()
	pace := strings.Fields(cmp.Or(p.pace, "1s 200ms"))
	text := fmt.Sprintf(`interval = %q
state_dir = %q
listen = %q
observe_first = "0s"
[status]
url = %q
poll = %q
[nginx]
config = %q
binary = %q
prefix = %q
pid_file = %q
[actuator]
kind = %q
`, pace[0], filepath.Join(b.dir, "state"), b.listen, b.page, pace[1], b.Config, b.Binary, b.Dir, b.PIDFile(), p.kind)
	switch p.kind {
	case "live":
		text += fmt.Sprintf("address = %q\ntoken_file = %q\n", b.control, b.token)
	case "dns":
		text += fmt.Sprintf("dns_listen = %q\n", b.resolver)
	}
	for i, server := range b.servers {
		p.daemon = strings.ReplaceAll(p.daemon, fmt.Sprintf("SERVER%d", i+1), server)
	}
	if err := os.WriteFile(b.config, []byte(text+p.daemon), 0o600); err != nil {
		b.t.Fatal(err)
	}
}
