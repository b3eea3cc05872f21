package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/lua"
	"trimtab/nginx/reload"
	"trimtab/vts"
)

// Where the shim reads no memory, a change is planned, confirmed and tuned with the settings of the file that is
// loaded.
func TestE2EPageWithoutWeights(t *testing.T) {
	needNGINX(t)
	dir := t.TempDir()
	var servers []string
	for range 2 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
		t.Cleanup(s.Close)
		servers = append(servers, s.Listener.Addr().String())
	}
	ports, err := instance.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	modules, err := instance.LuaModules()
	if err != nil {
		t.Fatal(err)
	}
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	front := fmt.Sprintf("127.0.0.1:%d", ports[0])
	shim := lua.Status{Dir: filepath.Join(dir, "lua"), Listen: fmt.Sprintf("127.0.0.1:%d", ports[1]), NoMemory: true}
	files, err := shim.Files()
	if err != nil {
		t.Fatal(err)
	}
	if err := installFiles(shim.Dir, files); err != nil {
		t.Fatal(err)
	}
	text := modules + main + fmt.Sprintf("events {}\nhttp {\n%s include %s;\n upstream app {\n  server %s "+
		"weight=3;\n  server %s;\n }\n server { listen %s; location / { proxy_pass http://app; } }\n}\n",
		instance.HTTPPaths(dir), shim.HTTPSnippet(), servers[0], servers[1], front)
	n, err := instance.Start(t.Context(), dir, text, front, shim.Listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	page := "http://" + shim.Listen + lua.StatusPath
	client, err := vts.NewClient(vts.ClientConfig{URL: page, FreshConnections: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	source := reload.Filled{StatusSource: client, Loaded: &nginx.Loaded{Path: n.Config}}
	await(t, "every server with its weight, before the first request", func() bool {
		st, err := source.Status(t.Context())
		return err == nil && len(st.Upstreams) == 1 && len(st.Upstreams[0].Peers) == 2 &&
			st.Upstreams[0].Peers[0].Weight == 3 && st.Upstreams[0].Peers[1].Weight == 1
	})
	for range 8 {
		resp, err := http.Get("http://" + front)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	await(t, "the requests", func() bool {
		st, err := source.Status(t.Context())
		return err == nil && st.Upstreams[0].Peers[0].Requests == 6 && st.Upstreams[0].Peers[1].Requests == 2
	})
	stdout, stderr := new(buffer), new(buffer)
	args := []string{"nginx", "set", "-c", n.Config, "--nginx", n.Binary, "--prefix", n.Dir, "--state-dir",
		filepath.Join(dir, "state"), "--status", page,
		"--upstream", "app", "--weight", servers[1] + "=5"}
	if code := run(t.Context(), args, stdout, stderr); code != 0 || !strings.Contains(stdout.String(),
		"in force after") {
		t.Fatalf("set: code %d: %s%s", code, stdout, stderr)
	}
	st, err := source.Status(t.Context())
	if err != nil || st.Upstreams[0].Peers[1].Weight != 5 || st.Upstreams[0].Peers[1].Requests != 2 {
		t.Errorf("after the change: got %+v, %v, want weight 5 and the counters to go on", st.Upstreams, err)
	}
	// An edit that NGINX has not loaded changes nothing of what is known; to a newcomer nothing is known then.
	loaded := st.LoadMsec
	await(t, "the file's clock to move on", func() bool { return time.Now().UnixMilli() > loaded+200 })
	edited, err := os.ReadFile(n.Config)
	if err == nil {
		err = os.WriteFile(n.Config, []byte(strings.Replace(string(edited), "weight=5", "weight=9", 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if st, err := source.Status(t.Context()); err != nil || st.Upstreams[0].Peers[1].Weight != 5 {
		t.Errorf("after an edit: got %+v, %v, want what is loaded", st.Upstreams, err)
	}
	newcomer := reload.Filled{StatusSource: client, Loaded: &nginx.Loaded{Path: n.Config}}
	if _, err := newcomer.Status(t.Context()); err == nil || !strings.Contains(err.Error(),
		"what NGINX has loaded is not known") {
		t.Errorf("a newcomer: got %v, want to be told that it is not known", err)
	}
}
