package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"trimtab/daemon"
	"trimtab/nginx"
	"trimtab/nginx/dns"
	"trimtab/nginx/live"
	"trimtab/plain"
	"trimtab/vts"
)

// The areas of the doctor's checks.
const (
	areaConfig      = "configuration"
	areaNGINX       = "nginx"
	areaTelemetry   = "telemetry"
	areaActuator    = "actuator"
	areaPermissions = "permissions"
	areaUnit        = "unit"
	areaClock       = "clock"
	areaState       = "state"
	areaDaemon      = "daemon"
)

// examination collects what is found.
type examination struct {
	found  []diagnosis
	loaded *nginx.Config // NGINX's configuration; nil: not readable
	master int           // process of the running master; 0: none
}

func (x *examination) add(area, check, status, todo, format string, args ...any) {
	x.found = append(x.found, diagnosis{Area: area, Check: check, Status: status,
		Detail: fmt.Sprintf(format, args...), Todo: todo})
}

func (x *examination) ok(area, check, format string, args ...any) {
	x.add(area, check, statusOK, "", format, args...)
}
func (x *examination) warn(area, check, todo, format string, args ...any) {
	x.add(area, check, statusWarn, todo, format, args...)
}
func (x *examination) fail(area, check, todo, format string, args ...any) {
	x.add(area, check, statusFail, todo, format, args...)
}
func (x *examination) skip(area, check, format string, args ...any) {
	x.add(area, check, statusSkip, "", format, args...)
}

func (x *examination) config(path string, cfg *daemon.Config) {
	if _, err := os.Stat(path); err != nil {
		x.warn(areaConfig, "file", "trimtab init writes one", "there is no %s: defaults and the environment count",
			path)
	} else {
		x.ok(areaConfig, "file", "%s is valid", path)
	}
	for _, w := range cfg.Warnings() {
		x.warn(areaConfig, "keys", "change the line", "%s", w)
	}
	for name := range unknownVariables() {
		x.warn(areaConfig, "variables", "look for the right name in trimtab.toml(5) or --help",
			"%s is of no key and no flag%s", name, nearVariable(name))
	}
	if err := cfg.CheckNamed(); err != nil {
		for _, fault := range strings.Split(err.Error(), "\n") {
			x.fail(areaConfig, "named files", "make it, or mend the line", "%s", fault)
		}
		return
	}
	x.ok(areaConfig, "named files", "files and programs that it names are there")
}

// applierOf is the pipeline that the daemon of a configuration would use.
func applierOf(cfg *daemon.Config) *nginx.Applier {
	return &nginx.Applier{Config: cfg.Nginx.Config, StateDir: filepath.Join(cfg.StateDir, "nginx"),
		Binary: cfg.Nginx.Binary,
		Prefix: cfg.Nginx.Prefix, PIDFile: cfg.Nginx.PIDFile, Manual: true}
}

func (x *examination) nginx(ctx context.Context, cfg *daemon.Config) {
	if cfg.Nginx.Config == "" {
		x.skip(areaNGINX, "files", "nginx.config = \"\": they cannot be read from here")
		return
	}
	a := applierOf(cfg)
	loaded, err := nginx.ReadConfig(cfg.Nginx.Config)
	if err != nil {
		x.fail(areaNGINX, "files", "name NGINX's main file in nginx.config, or mend it", "%v", err)
		return
	}
	x.loaded = loaded
	x.ok(areaNGINX, "files", "%s: %s, %s", loaded.Path, plain.Count(len(loaded.Files), "file"),
		plain.Count(len(loaded.Upstreams), "upstream"))
	if len(loaded.Upstreams) == 0 {
		x.fail(areaNGINX, "upstreams", "weights belong to the servers of an upstream { } block: make one and pass "+
			"requests to it", "there is none")
	}
	tunable := 0
	for _, u := range loaded.Upstreams {
		switch err := loaded.Editable(u.Name); {
		case err == nil && len(u.Peers) > 1:
			tunable++
			x.ok(areaNGINX, "upstream", "%s (%s): %d servers", u.Name, u.MethodText(), len(u.Peers))
		case err == nil:
			x.warn(areaNGINX, "upstream", "nothing to do: there is nothing to choose", "%s has %s", u.Name,
				plain.Count(len(u.Peers), "server"))
		case cfg.Actuator.Kind == "reload":
			x.warn(areaNGINX, "upstream", "it is left alone; see docs/safety.md for what is needed", "%v", err)
		default:
			tunable++
		}
	}
	if tunable == 0 && len(loaded.Upstreams) > 0 {
		x.fail(areaNGINX, "upstreams", "an upstream needs two servers, and lines that can be edited",
			"none of them can be tuned")
	}
	for _, note := range loaded.Notes() {
		x.warn(areaNGINX, "note", "", "%s", note)
	}
	if loaded.Root == "" && len(cfg.Nginx.TestCommand) == 0 {
		x.judge(areaNGINX, "nginx -t", "mend NGINX's configuration: no change can be tested before", a.Test(ctx),
			"passes")
		x.judge(areaNGINX, "same files", "NGINX reads other files than Trimtab would change: name the right "+
			"nginx.config and nginx.prefix",
			a.CompareFiles(ctx, loaded), "nginx -T reads the same")
	}
	if len(cfg.Nginx.ReloadCommand) > 0 {
		x.skip(areaNGINX, "master", "reload_command is set: the master need not be seen")
		return
	}
	pid, err := a.Master(ctx, loaded)
	if err != nil {
		x.fail(areaNGINX, "master", "start NGINX, or name its pid file in nginx.pid_file", "%v", err)
		return
	}
	x.master = pid
	if load, err := nginx.ReadLoad(pid); err == nil {
		x.ok(areaNGINX, "master", "process %d, %s serving, %d draining, %d MiB", pid,
			plain.Count(load.Workers, "worker"),
			load.Draining, load.MemoryBytes>>20)
	} else {
		x.warn(areaNGINX, "master", "run it as root", "process %d; its workers cannot be looked at: %v", pid, err)
	}
}

// judge is ok with the detail, or fail with the error.
func (x *examination) judge(area, check, todo string, err error, detail string) {
	if err != nil {
		x.fail(area, check, todo, "%v", err)
		return
	}
	x.ok(area, check, "%s", detail)
}

func (x *examination) telemetry(ctx context.Context, cfg *daemon.Config) {
	client, err := cfg.StatusClient()
	if err != nil {
		x.fail(areaTelemetry, "page", "mend [status]", "%v", err)
		return
	}
	defer client.Close()
	d, err := client.Diagnose(ctx, telemetryPolls)
	if err != nil {
		x.fail(areaTelemetry, "page", "name the page in status.url; without nginx-module-vts, trimtab nginx shim "+
			"install provides one", "%s", noPage(err))
		return
	}
	x.samePage(ctx, cfg, client)
	f := nginxFlags{config: cfg.Nginx.Config, binary: cfg.Nginx.Binary, prefix: cfg.Nginx.Prefix}
	text, prefix := "", ""
	if x.loaded != nil && x.loaded.Root == "" {
		text, prefix = dumpConfig(ctx, f)
	}
	counted, probe := probeRetries(ctx, f.binary, isShim(d), text, prefix)
	for _, found := range judgeTelemetry(d, text, counted, probe) {
		status := statusOK
		switch {
		case !found.OK && found.Check == "histograms", !found.OK && found.Check == "polling", !found.OK &&
			found.Check == "silent":
			status = statusWarn // it works, with worse figures
		case !found.OK:
			status = statusFail
		case found.Check == "retries" && !counted:
			status = statusWarn
		}
		x.add(areaTelemetry, found.Check, status, "", "%s", found.Detail)
	}
	x.deadlines(ctx, cfg, client)
}

// samePage checks that the page is that of the NGINX which would be changed: by who holds the socket, by when the
// configuration was loaded, and by the servers it shows.
func (x *examination) samePage(ctx context.Context, cfg *daemon.Config, client *vts.Client) {
	const todo = "name the page of this NGINX in status.url"
	a := applierOf(cfg)
	st, err := pageOf(client, cfg.Nginx.Config)(ctx)
	if err != nil {
		x.fail(areaTelemetry, "same NGINX", todo, "%v", err)
		return
	}
	if x.master != 0 && !cfg.Status.Proxied {
		a.Origin = client.Origin
		switch note, err := a.OwnPage(ctx); {
		case err != nil:
			x.fail(areaTelemetry, "same NGINX", todo, "%v", err)
			return
		case note == "":
			x.ok(areaTelemetry, "same NGINX", "a process of master %d serves the page", x.master)
		default:
			x.loadedWhen(time.UnixMilli(st.LoadMsec), todo, note)
		}
	} else if x.master != 0 {
		x.loadedWhen(time.UnixMilli(st.LoadMsec), todo, "the page comes through another program")
	} else {
		x.skip(areaTelemetry, "same NGINX", "no master is seen to compare with")
	}
	x.probe(ctx, client, todo)
	if x.loaded == nil {
		return
	}
	for _, u := range x.loaded.Upstreams {
		if u.Protocol != "http" || x.loaded.Editable(u.Name) != nil {
			continue
		}
		err := x.loaded.Resolve(ctx, st, u.Name)
		if err == nil {
			err = x.loaded.MatchPeers(st, u.Name)
		}
		x.judge(areaTelemetry, "servers", "reload NGINX when the files were edited since; upstreams show once they "+
			"have had a request", err,
			fmt.Sprintf("%s: the page shows the %d servers of the files", u.Name, len(u.Peers)))
	}
}

// loadedWhen compares when the page says its configuration was loaded with when the workers were started.
func (x *examination) loadedWhen(page time.Time, todo, why string) {
	at, err := nginx.WorkersStarted(x.master)
	switch {
	case err != nil:
		x.skip(areaTelemetry, "same NGINX", "%s; when the workers were started cannot be seen: %v", why, err)
	case page.Sub(at).Abs() > 5*time.Second:
		x.fail(areaTelemetry, "same NGINX", todo, "%s, and says its configuration was loaded at %s; the workers of "+
			"master %d began at %s", why,
			page.Format(time.RFC3339), x.master, at.Format(time.RFC3339))
	default:
		x.ok(areaTelemetry, "same NGINX", "%s; it was loaded when the workers of master %d began", why, x.master)
	}
}

// deadlines looks for times in the wrong unit: a deadline far from what is seen is a slip more often than a wish.
func (x *examination) deadlines(ctx context.Context, cfg *daemon.Config, client *vts.Client) {
	st, err := client.Status(ctx)
	if err != nil {
		return
	}
	const far = 50
	for name, deadline := range cfg.Deadlines() {
		for _, u := range st.Upstreams {
			if u.Name != name {
				continue
			}
			var requests, msec uint64
			for i := range u.Peers {
				requests += u.Peers[i].Requests
				msec += u.Peers[i].ResponseMsec
			}
			if requests < 100 || msec == 0 {
				x.skip(areaTelemetry, "deadline", "%s has had too few requests to compare its deadline with", name)
				continue
			}
			mean := time.Duration(float64(msec) / float64(requests) * float64(time.Millisecond))
			if deadline > far*mean || mean > far*deadline {
				x.warn(areaTelemetry, "deadline", "is its unit right (ms, s)? deadline = \"0s\" has it learned",
					"%s: %v is far from the mean response time, %v", name, deadline, mean.Round(time.Microsecond))
			} else {
				x.ok(areaTelemetry, "deadline", "%s: %v, mean response time %v", name, deadline,
					mean.Round(time.Microsecond))
			}
		}
	}
}

func (x *examination) actuator(ctx context.Context, cfg *daemon.Config) {
	switch cfg.Actuator.Kind {
	case "reload":
		a := applierOf(cfg)
		breaker, err := a.Breaker()
		switch {
		case err != nil:
			x.fail(areaActuator, "circuit breaker", "run it as root", "%v", err)
		case breaker.Open(time.Now()):
			x.fail(areaActuator, "circuit breaker", "mend the cause; trimtab nginx rollback, or time, closes it", "%s",
				breaker.String())
		default:
			x.ok(areaActuator, "circuit breaker", "closed")
		}
		if pending, err := a.Pending(); err == nil && pending {
			x.warn(areaActuator, "journal", "the next change or trimtab nginx rollback undoes it first",
				"a change was interrupted")
		}
	case "live":
		l, err := live.New(live.Config{Address: cfg.Actuator.Address, TokenFile: cfg.Actuator.TokenFile})
		if err == nil {
			_, err = l.State(ctx)
		}
		x.judge(areaActuator, "control call", "trimtab nginx live install says what is missing", err,
			"NGINX answers at "+cfg.Actuator.Address)
	case "dns":
		installed := 0
		if x.loaded != nil {
			for _, u := range x.loaded.Upstreams {
				if dns.Installed(u, cfg.Actuator.DNSZone) {
					installed++
				}
				if dns.Installed(u, cfg.Actuator.DNSZone) || dns.Misspelt(u, cfg.Actuator.DNSZone) {
					for _, fault := range dns.Faults(x.loaded, u, cfg.Actuator.DNSListen, cfg.Actuator.DNSZone, nil,
						time.Second) {
						x.fail(areaActuator, "dns", "trimtab nginx dns install shows the lines", "%s", fault)
					}
				}
			}
			if installed == 0 {
				x.fail(areaActuator, "dns", "trimtab nginx dns install --write", "no upstream takes its weights by DNS")
			} else {
				x.ok(areaActuator, "dns", "%d upstreams ask %s", installed, cfg.Actuator.DNSListen)
			}
		}
		if about, err := dns.Ask(ctx, cfg.Actuator.DNSListen, cfg.Actuator.DNSZone); err != nil {
			x.warn(areaActuator, "dns", "start the daemon; until then NGINX keeps the weights it has",
				"nobody answers: %v", err)
		} else {
			x.ok(areaActuator, "dns", "answered by %s", about.About)
		}
	}
}

func (x *examination) permissions(cfg *daemon.Config) {
	if os.Geteuid() != 0 {
		x.warn(areaPermissions, "user", "run trimtab doctor with sudo, as the daemon is started",
			"not root: what only root sees is not checked")
	} else {
		x.ok(areaPermissions, "user", "root, as the daemon is started")
	}
	if _, err := user.Lookup(cfg.User); err != nil {
		x.warn(areaPermissions, "worker", "useradd -r -M -s /usr/sbin/nologin "+cfg.User,
			"there is no user %s: the worker runs under a number that nobody has", cfg.User)
	} else {
		x.ok(areaPermissions, "worker", "the part that reads the network runs as %s", cfg.User)
	}
	if x.loaded == nil || x.loaded.Root != "" || cfg.Actuator.Kind != "reload" {
		return
	}
	bad := 0
	seen := map[string]bool{}
	for _, u := range x.loaded.Upstreams {
		dir := filepath.Dir(u.File.Real)
		if seen[dir] {
			continue
		}
		seen[dir] = true
		if err := unix.Access(dir, unix.W_OK); err != nil {
			bad++
			x.fail(areaPermissions, "files", "run as root; a read-only file system takes no change of "+
				"weights by reload", "%s cannot be written to: %v", dir, err)
		}
	}
	if bad == 0 {
		x.ok(areaPermissions, "files", "the folders of the upstreams' files can be written to")
	}
}

func (x *examination) clock() {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	switch {
	case err != nil:
		x.skip(areaClock, "synchronised", "%v", err)
	case state == unix.TIME_ERROR:
		x.warn(areaClock, "synchronised", "start an NTP client: Trimtab does not need it, but times in logs, records "+
			"and other hosts' reports do",
			"the kernel's clock is not synchronised")
	default:
		x.ok(areaClock, "synchronised", "the kernel's clock is")
	}
}

func (x *examination) state(cfg *daemon.Config) {
	if _, err := os.Stat(cfg.HoldPath()); err == nil {
		x.warn(areaState, "hold", "trimtab tune --release", "%s exists: nothing is changed", cfg.HoldPath())
	}
	st, err := daemon.NewStore(cfg.StatePath(), nil).Read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.ok(areaState, "learned", "nothing yet: the first start observes for %v", time.Duration(cfg.ObserveFirst))
	case errors.Is(err, fs.ErrPermission):
		x.skip(areaState, "learned", "%v", err)
	case err != nil:
		x.warn(areaState, "learned", "nothing to do: the daemon puts it aside and begins anew", "%v", err)
	default:
		x.ok(areaState, "learned", "saved at %s, %v observed", st.SavedAt.Format(time.RFC3339),
			st.Observed.Round(time.Second))
	}
	if aside, _ := filepath.Glob(cfg.StatePath() + ".*"); len(aside) > 0 {
		x.warn(areaState, "put aside", "look at them or delete them", "%d states that could not be read: %s",
			len(aside), strings.Join(aside, ", "))
	}
	var fsys unix.Statfs_t
	dir := cfg.StateDir
	for unix.Statfs(dir, &fsys) != nil && filepath.Dir(dir) != dir {
		dir = filepath.Dir(dir)
	}
	const least = 64 << 20
	if free := fsys.Bavail * uint64(fsys.Bsize); free < least {
		x.warn(areaState, "disk", "free some: a change is refused when it cannot be written", "%d MiB left at %s",
			free>>20, dir)
	} else {
		x.ok(areaState, "disk", "%d MiB left at %s", free>>20, dir)
	}
}
