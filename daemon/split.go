package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"trimtab/helper"
	"trimtab/localhttp"
	"trimtab/trusted"
)

// Split is a daemon in two processes: this one, which is root and does what needs root, and a worker, which reads the
// network and learns, and is nobody in particular.
type Split struct {
	Config *Config
	Reread func() (*Config, error) // reads the configuration again at SIGHUP
	// Worker is the program of the worker, not started: it finds Inherited.
	Worker  *exec.Cmd
	Signals <-chan os.Signal // are passed on to the worker
	Logger  *slog.Logger     // nil: silence
}

// workerPatience is how long the worker may take to end once it was told to, beyond what a step may take: it restores
// the operator's weights for up to a minute.
const workerPatience = 65 * time.Second

// WorkerExit is how the worker ended.
type WorkerExit struct{ Code int }

func (e *WorkerExit) Error() string { return fmt.Sprintf("the worker ended with code %d", e.Code) }

// Run starts the worker and serves it until it ends. When ctx ends the worker is told. How it ended is a *WorkerExit
// unless that was well.
func (s *Split) Run(ctx context.Context) error {
	log := s.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cfg := s.Config
	release, err := lockAll(cfg, log)
	if err != nil {
		return err
	}
	defer release()
	uid, gid, err := helper.Account(cfg.User, DefaultUser, cfg.StateDir)
	if err != nil {
		return &ConfigError{err}
	}
	state, err := giveState(cfg, int(uid), int(gid))
	if err != nil {
		return &ConfigError{err}
	}
	s.Worker.Env = withoutSystemd(os.Environ())
	changes, questions, err := helper.Start(s.Worker, helper.As{UID: uid, GID: gid, State: state,
		BindLow: bindsLow(cfg)})
	if state != nil {
		state.Close()
	}
	if err != nil {
		return fmt.Errorf("%w: --single-process does without", err)
	}
	log.Info("worker started", "process", s.Worker.Process.Pid, "user", uid, "group", gid)
	// The protocol ends with the worker, not with ctx: whatever the worker does at its end may need it.
	served, end := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	defer all.Wait()
	defer end()
	all.Go(func() { s.pass(served) })
	port := &port{address: cfg.Listen}
	defer port.close()
	server := &helper.Server{
		Settings: helperSettings(cfg, log), Logger: log, Notify: notifySystemd,
		Read: func() (helper.Settings, error) {
			next, err := s.Reread()
			if err != nil {
				return helper.Settings{}, err
			}
			return helperSettings(next, log), nil
		},
	}
	if cfg.Listen != "" {
		server.Listen = port.open
	}
	ended := make(chan error, 1)
	go func() { ended <- helper.Wait(ctx, s.Worker, cfg.longestStep()+workerPatience) }()
	all.Go(func() {
		if err := server.Serve(served, changes, questions); err != nil {
			log.Error("the worker is not served any more", "error", err)
		}
		_, _ = changes.Close(), questions.Close()
	})
	err = <-ended
	end() // before the sockets are closed: to be cut off is no fault any more
	_, _ = changes.Close(), questions.Close()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code := exit.ExitCode()
		if code < 0 {
			log.Error("the worker was ended", "state", exit.String())
			code = 1
		}
		return &WorkerExit{code}
	}
	return err
}

// pass passes signals on.
func (s *Split) pass(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-s.Signals:
			_ = s.Worker.Process.Signal(sig)
		}
	}
}

// helperSettings are what the helper takes from a configuration.
func helperSettings(cfg *Config, log *slog.Logger) helper.Settings {
	return helper.Settings{
		Path: cfg.path, Text: cfg.text, Files: cfg.Files(), Root: newRoot(cfg, log), Limits: cfg.Actuator,
		AskStatus: true, AskOrigin: !cfg.Status.Proxied,
	}
}

// port opens the socket on which the worker answers, once at a time.
type port struct {
	address string

	mu sync.Mutex
	l  net.Listener
}

func (p *port) open(ctx context.Context) (*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.l == nil {
		l, err := localhttp.Open(ctx, p.address)
		if err != nil {
			return nil, err
		}
		p.l = l
	}
	return localhttp.File(p.l)
}

func (p *port) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.l != nil {
		_ = p.l.Close()
	}
}

// bindsLow reports whether the worker answers DNS on a port below 1024.
func bindsLow(cfg *Config) bool {
	if cfg.Actuator.Kind != "dns" {
		return false
	}
	_, port, err := net.SplitHostPort(cfg.Actuator.DNSListen)
	n, bad := strconv.Atoi(port)
	return err == nil && bad == nil && n < 1024
}

// withoutSystemd is an environment without what lets a process speak to systemd as the service.
func withoutSystemd(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "NOTIFY_SOCKET" || name == "WATCHDOG_PID" || strings.HasPrefix(name, "LISTEN_")
	})
}

// Kept by the worker, by the names they begin with.
var ofTheWorker = []string{"tuner.db", "orders.json", "dns.json", "prove.", "prove-"}

// giveState makes the worker's folder in the state folder, with what a daemon of one process has left there, and
// returns it open. On a file system that is read-only it is what is there, nil for nothing: the worker learns in
// memory.
func giveState(cfg *Config, uid, gid int) (*os.File, error) {
	state, err := makeState(cfg, uid, gid)
	if errors.Is(err, unix.EROFS) {
		if state, err = os.Open(filepath.Join(cfg.StateDir, workerDir)); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	return state, err
}

func makeState(cfg *Config, uid, gid int) (*os.File, error) {
	dir := filepath.Join(cfg.StateDir, workerDir)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		state, err := trusted.GiveFolder(dir, os.Geteuid(), os.Getegid())
		if err != nil {
			return nil, err
		}
		state.Close()
		entries, err := os.ReadDir(cfg.StateDir)
		if err != nil {
			return nil, fmt.Errorf("state folder: %w", err)
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !slices.ContainsFunc(ofTheWorker,
				func(name string) bool { return strings.HasPrefix(e.Name(), name) }) {
				continue
			}
			if err := os.Rename(filepath.Join(cfg.StateDir, e.Name()), filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("state folder: %w", err)
			}
		}
	}
	return trusted.GiveFolder(dir, uid, gid)
}

// takeBack gives root the worker's folder again, for a daemon of one process.
func (c *Config) takeBack() error {
	dir := filepath.Join(c.StateDir, workerDir)
	if _, err := os.Lstat(dir); err != nil || os.Geteuid() != 0 {
		return nil //nolint:nilerr // there is none
	}
	state, err := trusted.GiveFolder(dir, 0, 0)
	if err != nil {
		return err
	}
	return state.Close()
}
