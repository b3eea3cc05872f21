package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/nginx/instance"
	"trimtab/vts"
)

func TestDoctorSaysWhatToChange(t *testing.T) {
	good := vts.Diagnosis{Version: "v0.2.7", NginxVer: "1.22.1", Servers: 3, Bytes: 9000, PollMean: time.Millisecond,
		Requests: 10, Histograms: true,
		Zone: vts.Zone{MaxBytes: 1 << 20, FreeBytes: 1 << 19}}
	for _, c := range []struct {
		sentence string
		change   func(*vts.Diagnosis)
		text     string
		counted  bool
		probe    error
		check    string
		ok       bool
		says     string
	}{
		{"the module is named with its version", func(d *vts.Diagnosis) {}, "", true, nil, "source", true,
			"nginx-module-vts v0.2.7 on NGINX 1.22.1"},
		{"the shim too", func(d *vts.Diagnosis) { d.Version = "trimtab-lua-1" }, "", true, nil, "source", true,
			"Lua shim"},
		{"the module without histograms", func(d *vts.Diagnosis) { d.Histograms = false }, "", true, nil, "histograms",
			false, "vhost_traffic_status_histogram_buckets"},
		{"the shim without histograms", func(d *vts.Diagnosis) { d.Histograms = false; d.Version = "trimtab-lua-1" },
			"", true, nil, "histograms", false, "--buckets"},
		{"no traffic yet", func(d *vts.Diagnosis) { d.Histograms = false; d.Requests = 0 }, "", true, nil, "histograms",
			true, "not known yet"},
		{"retries that are counted", func(d *vts.Diagnosis) {}, "", true, nil, "retries", true,
			"is counted for the server that failed"},
		{"retries that are not", func(d *vts.Diagnosis) {}, "", false, nil, "retries", true, "are not counted"},
		{"a probe that could not run", func(d *vts.Diagnosis) {}, "", false, errors.New("no nginx"), "retries", true,
			"not probed (no nginx)"},
		{"a silent server", func(d *vts.Diagnosis) { d.PassedOver = []string{"a of g"} }, "", true, nil, "silent",
			false, "a of g"},
		{"a page that is too large", func(d *vts.Diagnosis) { d.Bytes = 8 << 20 }, "", true, nil, "polling", false,
			"vhost_traffic_status_filter"},
		{"a full dictionary", func(d *vts.Diagnosis) { d.Version, d.Zone.Dropped = "trimtab-lua-1", 7 }, "", true, nil,
			"zone", false, "7 attempts could not be counted"},
		{"a zone that is nearly full", func(d *vts.Diagnosis) { d.Zone.FreeBytes = 100 }, "", true, nil, "zone", false,
			"nearly full"},
		{"a zone of a module that does not say what is free", func(d *vts.Diagnosis) {
			d.Zone = vts.Zone{MaxBytes: 20971520, UsedBytes: 3516, FreeUnknown: true}
		}, "", true, nil, "zone", true, "counters take 3 KiB of 20480 KiB"},
		{"such a zone that is more than half full", func(d *vts.Diagnosis) {
			d.Zone = vts.Zone{MaxBytes: 1 << 20, UsedBytes: 600 << 10, FreeUnknown: true}
		}, "", true, nil, "zone", false, "does not say how much is free"},
		{"clocks that differ", func(d *vts.Diagnosis) { d.ClockSkew = -time.Hour }, "", true, nil, "clock", true,
			"-1h0m0s"},
		{"a hook that hides the shim's", func(d *vts.Diagnosis) { d.Version = "trimtab-lua-1" },
			"log_by_lua_block {\n    package.loaded[\"trimtab.status\"].log()\n}\nserver {\n  location / { " +
				"log_by_lua_block { x() } }\n}\n", true, nil, "log_by_lua", false, "1 more log_by_lua"},
	} {
		d := good
		c.change(&d)
		found := false
		for _, f := range judgeTelemetry(d, c.text, c.counted, c.probe) {
			if f.Check == c.check {
				found = true
				if f.OK != c.ok || !strings.Contains(f.Detail, c.says) {
					t.Errorf("%s: got %+v, want ok %v and %q", c.sentence, f, c.ok, c.says)
				}
			}
		}
		if !found {
			t.Errorf("%s: got no finding %q", c.sentence, c.check)
		}
	}
}

func TestE2EShimInstallAndCheck(t *testing.T) {
	needNGINX(t)
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	modules, err := instance.LuaModules()
	if err != nil {
		t.Fatal(err)
	}
	front, page := freeAddr(t), freeAddr(t)
	confd := filepath.Join(dir, "conf.d")
	if err := os.Mkdir(confd, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := func(extra string) string {
		return fmt.Sprintf("%s%sevents {}\nhttp {\n%s    %s\n    upstream app { server 127.0.0.1:1; }\n    server { "+
			"listen %s; location / { proxy_pass http://app; } }\n}\n",
			modules, main, instance.HTTPPaths(dir), extra, front)
	}
	path := filepath.Join(dir, "nginx.conf")
	install := []string{"nginx", "shim", "install", "--dir", filepath.Join(dir, "trimtab"), "--enable", confd,
		"--listen", page, "-c", path}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(confd, "trimtab-status.conf")

	write(conf(""))
	if code, _, stderr := trimtab(t, install...); code != exitRefused || !strings.Contains(stderr, "does not include") {
		t.Errorf("a folder that is not included: got %d, %s", code, stderr)
	}
	include := "include " + confd + "/*.conf;"
	write(conf("init_by_lua_block { } " + include))
	if code, _, stderr := trimtab(t, install...); code != exitRefused || !strings.Contains(stderr, "--hooked") {
		t.Errorf("a configuration with hooks of its own: got %d, %s", code, stderr)
	}
	if _, err := os.Lstat(link); err == nil {
		t.Error("a refused link was left behind")
	}
	write(conf(include))
	for range 2 { // installing twice is harmless
		if code, stdout, stderr := trimtab(t, install...); code != exitOK ||
			!strings.Contains(stdout, "nginx -s reload") {
			t.Fatalf("got %d, %s%s", code, stdout, stderr)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i, err := instance.Start(t.Context(), dir, string(text), front, page)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Stop()
	code, stdout, stderr := trimtab(t, "nginx", "check", "-c", path, "--prefix", dir, "--state-dir", t.TempDir(),
		"--status", "http://"+page+"/status/format/json")
	if code != exitOK {
		t.Errorf("check: got %d, %s%s", code, stdout, stderr)
	}
	_, said, _ := trimtab(t, "nginx", "check", "-c", path, "--prefix", dir, "--state-dir", t.TempDir(), "--json")
	conforms(t, "trimtab nginx check", said)
	for _, want := range []string{"the Lua shim (trimtab-lua-1)", "probed: an attempt that is passed on is counted",
		"KiB free"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("check: got\n%swant %q in it", stdout, want)
		}
	}

	foreign := filepath.Join(dir, "trimtab", "status.lua")
	if err := os.WriteFile(foreign, []byte("-- mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := trimtab(t, install...); code != exitConfig ||
		!strings.Contains(stderr, "was not written by trimtab") {
		t.Errorf("a file of somebody else: got %d, %s", code, stderr)
	}
}
