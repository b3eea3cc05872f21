package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/lua"
	"trimtab/vts"
)

// shimAbility is what the shim can do on an nginx binary, found out on a private NGINX with the same modules.
type shimAbility struct {
	Version string
	Weights string // "" when the page shows the weights in force, else why not
	Retries bool   // attempts that are passed on are counted
}

// lines are the ability in words.
func (a shimAbility) lines() []string {
	out := []string{fmt.Sprintf("NGINX %s counts requests, bytes, times, errors and histograms of every server",
		a.Version)}
	if a.Retries {
		out = append(out, "an attempt that is passed on is counted for the server that failed")
	} else {
		out = append(out, "attempts that are passed on are NOT counted")
	}
	if a.Weights == "" {
		return append(out, "the page shows every server with the weight in force, resolved ones too")
	}
	return append(out,
		"the page does NOT show weights: "+a.Weights,
		"Trimtab takes them from the configuration that NGINX is known to have loaded; live weights are not "+
			"possible, reload and (from 1.27.3) dns are")
}

// probeShim runs the shim on a private NGINX with the modules that the configuration (its nginx -T) loads.
func probeShim(ctx context.Context, shim lua.Status, binary, text, prefix string) (a shimAbility, err error) {
	v, err := instance.VersionOf(ctx, binary)
	if err != nil {
		return a, err
	}
	a.Version = fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2])
	dir, err := os.MkdirTemp("", "trimtab-probe-")
	if err != nil {
		return a, err
	}
	defer os.RemoveAll(dir)
	main, err := instance.Prepare(dir)
	if err != nil {
		return a, err
	}
	ports, err := instance.FreePorts(3)
	if err != nil {
		return a, err
	}
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	front, dead, page := addr(0), addr(1), addr(2)
	shim.Dir, shim.Listen, shim.Hooked = dir, page, false
	files, err := shim.Files()
	if err != nil {
		return a, err
	}
	if err := installFiles(dir, files); err != nil {
		return a, err
	}
	backend, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return a, err
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		_, _ = io.WriteString(w, "ok")
	})}
	go func() { _ = server.Serve(backend) }()
	defer server.Close()
	modules := loadedModules(text, prefix)
	if !strings.Contains(modules, "http_lua") {
		if own, err := instance.LuaModules(); err == nil {
			modules += own
		}
	}
	conf := fmt.Sprintf("%s%sworker_processes 1;\nevents {}\nhttp {\n%s    include %s;\n    access_log off;\n    "+
		"upstream probe { zone probe 64k; server %s max_fails=0; server %s backup; }\n"+
		"    server { listen %s; location / { proxy_pass http://probe; } }\n}\n", modules, main,
		instance.HTTPPaths(dir), shim.HTTPSnippet(), dead, backend.Addr(), front)
	private, err := instance.StartBinary(ctx, binary, dir, conf, front, page)
	if err != nil {
		return a, fmt.Errorf("%w%s", err, refusalHint([]byte(err.Error())))
	}
	defer private.Stop()
	if a.Retries, err = countRetries(ctx, front, "http://"+page+lua.StatusPath, dead); err != nil {
		return a, fmt.Errorf("%w%s", err, lastErrors(private.ErrorLog()))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+page+lua.StatusPath, nil)
	if err != nil {
		return a, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	resp.Body.Close()
	a.Weights = strings.TrimPrefix(resp.Header.Get("Trimtab-Weights"), "null: ")
	if a.Weights == "in force" {
		a.Weights = ""
	}
	return a, nil
}

// lastErrors are the errors that an error log ends with, to be put behind a reason.
func lastErrors(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	if bad := badLines(text); len(bad) > 0 {
		return ": " + bad[len(bad)-1]
	}
	return ""
}

// badLines are the lines of nginx -t that mean something does not work although it passes: errors, and warnings that
// are about the shim, such as a server block of its own that is ignored.
func badLines(out []byte) []string {
	var bad []string
	for line := range strings.Lines(string(out)) {
		_, text, ok := strings.Cut(strings.TrimSpace(line), "[")
		level, text, _ := strings.Cut(text, "] ")
		if !ok || strings.Contains(text, "LuaJIT version which is not OpenResty's") { // as on every Debian
			continue
		}
		switch level {
		case "emerg", "alert", "crit", "error":
			bad = append(bad, text)
		case "warn":
			if strings.Contains(text, "trimtab") {
				bad = append(bad, text)
			}
		}
	}
	return bad
}

// testAloud runs nginx -t and returns what it prints, also when it passes.
func testAloud(ctx context.Context, binary, config string) ([]byte, error) {
	_, out, err := nginx.Output(ctx, 30*time.Second, binary, "-t", "-c", config)
	return out, err
}

// newBadLines are the bad lines of after that were not there before.
func newBadLines(before, after []byte) []string {
	known := badLines(before)
	return slices.DeleteFunc(badLines(after), func(line string) bool { return slices.Contains(known, line) })
}

// portInTheWay says who has the page's address when it is not the shim itself; nginx -t does not notice.
func portInTheWay(ctx context.Context, listen string) error {
	if listen == "" || strings.HasPrefix(listen, "unix:") {
		return nil
	}
	l, err := net.Listen("tcp", listen)
	if err == nil {
		return l.Close()
	}
	if _, _, bad := net.SplitHostPort(listen); bad != nil {
		return fmt.Errorf("--listen %s: %w: want an address such as 127.0.0.1:8081", listen, bad)
	}
	client, bad := vts.NewClient(vts.ClientConfig{URL: "http://" + listen + lua.StatusPath, FreshConnections: true})
	if bad != nil {
		return fmt.Errorf("--listen %s: %w", listen, err)
	}
	defer client.Close()
	if st, bad := client.Status(ctx); bad == nil && strings.HasPrefix(st.ModuleVer, lua.StatusModule) {
		return nil // the shim serves there already
	}
	return fmt.Errorf("--listen %s: %w, by something that is not the shim: choose another address", listen, err)
}

func loadedModules(text, prefix string) string {
	var modules bytes.Buffer
	for _, m := range loadModule.FindAllStringSubmatch(comment.ReplaceAllString(text, ""), -1) {
		path := m[1]
		if !filepath.IsAbs(path) {
			path = filepath.Join(prefix, path)
		}
		fmt.Fprintf(&modules, "load_module %s;\n", path)
	}
	return modules.String()
}

var errNoShim = errors.New("the status shim does not work on this NGINX")
