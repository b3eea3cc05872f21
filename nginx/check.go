package nginx

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// validate has nginx -t read the candidates in place of the live files. It reports false when that needs rights that
// the process does not have.
func (a *Applier) validate(ctx context.Context, files []*replacement) (bool, error) {
	if a.TestCommand != nil {
		return false, nil // what this process would lay over a file, a command elsewhere does not see
	}
	var overlays []overlay
	for _, r := range files {
		if _, err := a.keep(r.before); err != nil {
			return false, err
		}
		candidate, err := a.keep(r.after)
		if err != nil {
			return false, err
		}
		overlays = append(overlays, overlay{candidate: candidate, live: r.Real})
	}
	err := a.runTest(ctx, overlays)
	if errors.Is(err, errNoNamespace) {
		if !a.inPlace {
			a.inPlace = true
			a.log().Info("no private mount namespace: candidates are tested in their place", "error", err)
		}
		return false, nil
	}
	if err != nil {
		return false, a.judge(ctx, err)
	}
	return true, nil
}

// judge says whose fault a failed test is.
func (a *Applier) judge(ctx context.Context, err error) error {
	failure := (*testFailure)(nil)
	if !errors.As(err, &failure) {
		if ctx.Err() != nil {
			return err
		}
		return refuse("the configuration could not be tested: %v", err)
	}
	if before := (*testFailure)(nil); errors.As(a.runTest(ctx, nil), &before) {
		failure = before
		if strings.Contains(failure.text, readOnly) {
			return refuse("nginx -t does not pass as this process runs it: %s", failure.text)
		}
		return refuse("the configuration is invalid as it stands, before any change: %s", failure.text)
	}
	return refuse("NGINX does not accept the change: %s", failure.text)
}

func (a *Applier) runTest(ctx context.Context, overlays []overlay) error {
	return a.do("nginx -t", "", func() error { return a.validator().test(ctx, overlays) })
}

func (a *Applier) validator() validator {
	v := validator{binary: a.binary(), args: []string{"-c", a.Config}, timeout: a.TestTimeout}
	if len(a.TestCommand) > 0 {
		v = validator{binary: a.TestCommand[0], args: a.TestCommand[1:], complete: true, timeout: a.TestTimeout}
	} else if a.Prefix != "" {
		v.args = append([]string{"-p", a.Prefix}, v.args...)
	}
	if v.timeout == 0 {
		v.timeout = 30 * time.Second
	}
	return v
}

func (a *Applier) binary() string {
	if a.Binary != "" {
		return a.Binary
	}
	return "nginx"
}

// Test runs nginx -t on what is on the disk.
func (a *Applier) Test(ctx context.Context) error {
	if err := a.absolute(); err != nil {
		return err
	}
	return a.runTest(ctx, nil)
}

// Master returns the pid of the running master of the configuration.
func (a *Applier) Master(ctx context.Context, cfg *Config) (int, error) {
	m, err := a.master(ctx, cfg)
	if err != nil {
		return 0, err
	}
	m.close()
	return m.pid, nil
}

// master finds the running master of the configuration.
func (a *Applier) master(ctx context.Context, cfg *Config) (*master, error) {
	if a.ReloadCommand != nil {
		if a.Status == nil {
			return nil, errors.New("NGINX is reloaded by a command, and nothing shows whether it did: name the " +
				"status page")
		}
		return &master{command: a.ReloadCommand, fd: -1}, nil
	}
	pidFile := a.PIDFile
	if pidFile == "" {
		pidFile = cfg.PIDFile
	}
	prefix, errorLog := a.Prefix, cfg.ErrorLog
	if pidFile == "" || errorLog == "" || prefix == "" && !(filepath.IsAbs(pidFile) && filepath.IsAbs(errorLog)) {
		c, err := a.compiledIn(ctx)
		if err != nil {
			return nil, err
		}
		if prefix == "" {
			prefix = c["prefix"]
		}
		if pidFile == "" {
			pidFile = c["pid-path"]
		}
		if errorLog == "" {
			errorLog = c["error-log-path"]
		}
	}
	var m *master
	err := a.do("find master", "", func() (err error) {
		if cfg.Root == "" {
			m, err = findMaster(under(prefix, pidFile))
			return err
		}
		pid, err := containedMaster(cfg.Root, under(prefix, pidFile))
		if err == nil {
			m, err = openMaster(pid, cfg.Root+under(prefix, pidFile))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err = m.runs(cfg); err == nil && cfg.Root == "" {
		err = notUpgrading(under(prefix, pidFile))
	}
	if err != nil {
		m.close()
		return nil, err
	}
	m.errorLog = under(prefix, errorLog)
	return m, nil
}

// notUpgrading refuses while a second master from before an upgrade of the binary still runs: which of the two a
// signal should go to is for the operator to say.
func notUpgrading(pidFile string) error {
	old, err := findMaster(pidFile + ".oldbin")
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	old.close()
	return fmt.Errorf("an upgrade of NGINX is under way: masters from before (%d) and after it both run", old.pid)
}

func under(prefix, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(prefix, path)
}

var configureArgument = regexp.MustCompile(`--(prefix|pid-path|error-log-path)=([^ \n']+)`)

// compiledIn returns the paths that were compiled into the binary, from nginx -V.
func (a *Applier) compiledIn(ctx context.Context) (map[string]string, error) {
	_, out, err := Output(ctx, 0, a.binary(), "-V") // it prints there
	if err != nil {
		return nil, fmt.Errorf("run %s -V: %w", a.binary(), err)
	}
	c := map[string]string{"prefix": "/usr/local/nginx", "pid-path": "logs/nginx.pid",
		"error-log-path": "logs/error.log"}
	for _, m := range configureArgument.FindAllStringSubmatch(string(out), -1) {
		c[m[1]] = m[2]
	}
	return c, nil
}

// unloaded returns the first file of the configuration that was saved after NGINX had loaded it; empty when there is
// none. Content that Trimtab itself made effective last is loaded whatever the times say.
func (a *Applier) unloaded(cfg *Config, old generation, last *journal) string {
	if old.loaded.IsZero() {
		return "" // no worker yet: the master has only just read the files
	}
	// The start of a worker is known to 10 ms only, and comes a moment after the files are read.
	slack := time.Second
	if a.Status != nil {
		slack = 50 * time.Millisecond
	}
	for _, f := range cfg.Files {
		info, err := f.Stat()
		if err != nil {
			continue
		}
		st := info.Sys().(*syscall.Stat_t)
		if time.Unix(st.Ctim.Unix()).After(old.loaded.Add(slack)) && !last.wrote(f) {
			return f.Path
		}
	}
	return ""
}
