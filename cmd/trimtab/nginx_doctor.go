package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/lua"
	"trimtab/plain"
	"trimtab/vts"
)

// telemetryPolls is how often the doctor asks for the page.
const telemetryPolls = 10

// checkTelemetry reports on the status page as a source of telemetry, in words an operator can act on.
func checkTelemetry(ctx context.Context, f nginxFlags) []finding {
	url := f.status
	if url == "" {
		return []finding{{Check: "telemetry", OK: true, Skipped: true, Detail: "not looked at: name the status page " +
			"with --status. Without nginx-module-vts, trimtab nginx shim install provides one"}}
	}
	client, err := vts.NewClient(vts.ClientConfig{URL: url})
	if err != nil {
		return []finding{{Check: "telemetry", Detail: err.Error()}}
	}
	defer client.Close()
	d, err := client.Diagnose(ctx, telemetryPolls)
	if err != nil {
		return []finding{{Check: "telemetry", Detail: noPage(err)}}
	}
	text, prefix := dumpConfig(ctx, f)
	counted, err := probeRetries(ctx, f.binary, isShim(d), text, prefix)
	return judgeTelemetry(d, text, counted, err)
}

func isShim(d vts.Diagnosis) bool { return strings.HasPrefix(d.Version, lua.StatusModule) }

var compiledPrefix = regexp.MustCompile(`--prefix=(\S+)`)

// dumpConfig returns what nginx -T prints, "" when it prints nothing, and the folder that relative modules start from.
func dumpConfig(ctx context.Context, f nginxFlags) (text, prefix string) {
	args := []string{"-T", "-q", "-c", f.config}
	if prefix = f.prefix; prefix != "" {
		args = append(args, "-p", prefix)
	} else if _, out, err := nginx.Output(ctx, 0, f.binary, "-V"); err == nil {
		if m := compiledPrefix.FindSubmatch(out); m != nil {
			prefix = string(m[1])
		}
	}
	if out, _, err := nginx.Output(ctx, 30*time.Second, f.binary, args...); err == nil {
		text = string(out)
	}
	return text, prefix
}

// noPage says what to do about a page that cannot be had.
func noPage(err error) string {
	advice := ""
	switch vts.ReasonOf(err) {
	case vts.ReasonConnect:
		advice = ": is NGINX running, and does it listen there? Without nginx-module-vts: trimtab nginx shim install"
	case vts.ReasonHTTP:
		advice = ": the location needs vhost_traffic_status_display with vhost_traffic_status_display_format json, " +
			"or the shim's snippet; 403 means that its allow list leaves this machine out, 501 that the shim does " +
			"not know this NGINX (see its body)"
	case vts.ReasonNotJSON:
		advice = ": something else answers; the URL of the module's page ends in /format/json"
	case vts.ReasonTooLarge:
		advice = ": raise the limit, or switch off vhost_traffic_status_filter, which multiplies the page"
	case vts.ReasonTimeout:
		advice = ": a page that takes this long blocks a worker; look at its size"
	}
	return err.Error() + advice
}

// judgeTelemetry turns a diagnosis into findings. text is what nginx -T prints, "" when unknown; counted whether
// attempts that were passed on are counted, as the probe found, unless probeErr says why it could not.
func judgeTelemetry(d vts.Diagnosis, text string, counted bool, probeErr error) []finding {
	var out []finding
	add := func(check string, ok bool, format string, args ...any) {
		out = append(out, finding{Check: check, OK: ok, Detail: fmt.Sprintf(format, args...)})
	}
	shim := isShim(d)
	if shim {
		add("source", true, "the Lua shim (%s) on NGINX %s", d.Version, d.NginxVer)
	} else {
		add("source", true, "nginx-module-vts %s on NGINX %s", d.Version, d.NginxVer)
	}
	switch {
	case d.Histograms:
		add("histograms", true, "on: tardiness is read off them")
	case d.Requests == 0:
		add("histograms", true, "not known yet: no server has had a request")
	case shim:
		add("histograms", false, "off: install the shim anew without --buckets \"\", or tardiness is estimated "+
			"from means")
	default:
		add("histograms", false, "off: add vhost_traffic_status_histogram_buckets 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 "+
			"2 5; to the http block, or tardiness is estimated from means")
	}
	switch {
	case probeErr != nil && !shim:
		add("retries", true, "not probed (%v); nginx-module-vts up to 0.2.7 does not count attempts that "+
			"proxy_next_upstream passes on: a dead server then shows 0 requests, which Trimtab takes for unknown",
			probeErr)
	case probeErr != nil:
		add("retries", true, "not probed: %v", probeErr)
	case counted:
		add("retries", true, "probed: an attempt that is passed on is counted for the server that failed")
	default:
		add("retries", true, "probed: attempts that proxy_next_upstream passes on are not counted. A dead server "+
			"shows 0 requests, which Trimtab takes for unknown; the shim counts them")
	}
	if len(d.PassedOver) > 0 {
		add("silent", false, "%s: no request although its group has had many: it is dead or was just added; see the "+
			"error log, and mark it down if it is to stay", strings.Join(d.PassedOver, ", "))
	}
	perSec := float64(d.Bytes) * 2 / 1024
	switch {
	case d.PollMean > 100*time.Millisecond || d.Bytes > 4<<20:
		add("polling", false, "%.0f KiB in %.1f ms on average (at most %.1f ms) for %d servers: poll less often, or "+
			"switch off vhost_traffic_status_filter", float64(d.Bytes)/1024, msOf(d.PollMean), msOf(d.PollMax),
			d.Servers)
	default:
		add("polling", true, "%.1f KiB in %.1f ms on average (at most %.1f ms) for %s; at 2 polls per second "+
			"%.0f KiB/s", float64(d.Bytes)/1024, msOf(d.PollMean), msOf(d.PollMax),
			plain.Count(d.Servers, "server"), perSec)
	}
	switch z := d.Zone; {
	case z.Dropped > 0:
		add("zone", false, "full: %d attempts could not be counted; install the shim anew with a larger --dict-kib",
			z.Dropped)
	case z.FreeUnknown && z.MaxBytes > 0 && z.UsedBytes > z.MaxBytes/2:
		add("zone", false, "counters take %d KiB of %d KiB, and this module does not say how much is free: when "+
			"nothing is, new servers are not counted; enlarge it in vhost_traffic_status_zone shared:…:SIZE (the "+
			"counters then start anew), or renew the module (0.2.7)", z.UsedBytes>>10, z.MaxBytes>>10)
	case z.FreeUnknown:
		add("zone", true, "counters take %d KiB of %d KiB; this module does not say how much is free", z.UsedBytes>>10,
			z.MaxBytes>>10)
	case !shim && z.MaxBytes > 0 && z.FreeBytes < z.MaxBytes/20:
		add("zone", false, "nearly full: %d KiB of %d KiB left, after which new servers are not counted; enlarge it "+
			"in vhost_traffic_status_zone shared:…:SIZE (the counters then start anew)", z.FreeBytes>>10,
			z.MaxBytes>>10)
	default:
		add("zone", true, "%d KiB of %d KiB free", z.FreeBytes>>10, z.MaxBytes>>10)
	}
	if skew := d.ClockSkew.Abs(); skew > 2*time.Second {
		add("clock", true, "NGINX's clock differs from this machine's by %v; intervals are taken from NGINX's, so "+
			"only the times in records are off", d.ClockSkew.Round(time.Millisecond))
	}
	if shim && text != "" {
		if n := otherLogHooks(text); n > 0 {
			add("log_by_lua", false, "%d more log_by_lua in the configuration: where one applies, it replaces the "+
				"shim's and nothing is counted. Call package.loaded[\"trimtab.status\"].log() in each", n)
		}
	}
	return out
}

func msOf(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

var logHook = regexp.MustCompile(`(?m)^[^#\n]*\blog_by_lua(_block|_file)?\b`)

// otherLogHooks counts the log_by_lua directives that do not call the shim.
func otherLogHooks(text string) int {
	n := 0
	for _, at := range logHook.FindAllStringIndex(text, -1) {
		rest := text[at[0]:min(len(text), at[1]+2000)]
		// A block ends at the first line that holds nothing but its closing brace.
		if end := strings.Index(rest, "\n}"); end >= 0 {
			rest = rest[:end]
		}
		if !strings.Contains(rest, "trimtab.status") {
			n++
		}
	}
	return n
}

var (
	comment    = regexp.MustCompile(`(?m)^\s*#.*$`)
	loadModule = regexp.MustCompile(`\bload_module\s+["']?([^"';\s]+)["']?\s*;`)
)

// probeRetries starts a private NGINX with the same modules, sends it requests whose first server is dead, and reports
// whether the page counts the failed attempts. Nothing of the production server is touched.
func probeRetries(ctx context.Context, binary string, shim bool, text, prefix string) (counted bool, err error) {
	if text == "" {
		return false, errors.New("the configuration's modules are not known: nginx -T gave nothing")
	}
	modules := loadedModules(text, prefix)
	dir, err := os.MkdirTemp("", "trimtab-probe-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	main, err := instance.Prepare(dir)
	if err != nil {
		return false, err
	}
	backend, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return false, err
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ok")
		})}
	go func() { _ = server.Serve(backend) }()
	defer server.Close()
	ports, err := instance.FreePorts(2) // one to listen on, one where nobody does
	if err != nil {
		return false, err
	}
	front, dead := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	source, page := "    vhost_traffic_status_zone;\n", "location /status { vhost_traffic_status_display; "+
		"vhost_traffic_status_display_format json; }"
	path := "/status/format/json"
	if shim {
		files := lua.Status{Dir: dir}
		texts, err := files.Files()
		if err != nil {
			return false, err
		}
		if err := installFiles(dir, texts); err != nil {
			return false, err
		}
		source, page = "    include "+files.HTTPSnippet()+";\n", "include "+files.LocationSnippet()+";"
	}
	conf := fmt.Sprintf("%s%sworker_processes 1;\nevents {}\nhttp {\n%s%s    access_log off;\n    upstream probe { "+
		"server %s max_fails=0; server %s backup; }\n    server { listen %s; %s\n        location / { proxy_pass "+
		"http://probe; } }\n}\n",
		modules, main, instance.HTTPPaths(dir), source, dead, backend.Addr(), front, page)
	private, err := instance.StartBinary(ctx, binary, dir, conf, front)
	if err != nil {
		return false, err
	}
	defer private.Stop()
	return countRetries(ctx, front, "http://"+front+path, dead)
}

// countRetries sends requests to the probe's NGINX and reports whether the page charges attempts to the dead server.
func countRetries(ctx context.Context, front, page, dead string) (bool, error) {
	const requests = 10
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	asker := &http.Client{Transport: &http.Transport{Proxy: nil}}
	defer asker.CloseIdleConnections()
	for range requests {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+front+"/", nil)
		if err != nil {
			return false, err
		}
		resp, err := asker.Do(req)
		if err != nil {
			return false, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	client, err := vts.NewClient(vts.ClientConfig{URL: page})
	if err != nil {
		return false, err
	}
	defer client.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := client.Status(ctx)
		if err != nil {
			return false, err
		}
		var failed, answered uint64
		for _, u := range st.Upstreams {
			for _, p := range u.Peers {
				if p.Server == dead {
					failed += p.Requests
				} else {
					answered += p.Requests
				}
			}
		}
		// The shim may be a moment behind; both servers' counts come with the same one.
		if answered >= requests {
			return failed >= requests, nil
		}
		select {
		case <-ctx.Done():
			return false, errors.New("the probe's own requests were not counted in time")
		case <-tick.C:
		}
	}
}
