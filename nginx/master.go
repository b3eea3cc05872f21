package nginx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoMaster is returned when no running NGINX master belongs to the configuration.
var ErrNoMaster = errors.New("no running NGINX master")

const masterTitle = "nginx: master process"

// master is a running NGINX master, held by a pidfd so that its pid cannot come to mean another process.
type master struct {
	pid      int
	fd       int
	errorLog string   // path; empty when the configuration names none
	command  []string // reloads an NGINX that this process does not see; then pid and fd mean nothing
}

// findMaster opens the master whose pid stands in pidFile and checks through /proc that it is one.
func findMaster(pidFile string) (*master, error) {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return nil, fmt.Errorf("%w: read pid file: %w", ErrNoMaster, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid < 1 {
		return nil, fmt.Errorf("%w: pid file %s holds %q", ErrNoMaster, pidFile, strings.TrimSpace(string(text)))
	}
	return openMaster(pid, pidFile)
}

// openMaster opens the process that a pid file named and checks through /proc that it is a master.
func openMaster(pid int, pidFile string) (*master, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("%w: pid file %s is stale: process %d has gone", ErrNoMaster, pidFile, pid)
	}
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	m := &master{pid: pid, fd: fd}
	// The check comes after the open: from here on the descriptor means the process that is checked.
	title, err := processTitle(pid)
	// A master that has just been started has its pid file a moment before its title.
	for try := 0; try < 100 && err == nil && !strings.HasPrefix(title, masterTitle) && runsNGINX(pid); try++ {
		time.Sleep(10 * time.Millisecond)
		title, err = processTitle(pid)
	}
	if err != nil || !strings.HasPrefix(title, masterTitle) {
		m.close()
		return nil, fmt.Errorf("%w: pid file %s names process %d, which is %q, not an NGINX master", ErrNoMaster,
			pidFile, pid, title)
	}
	return m, nil
}

// runs refuses a master that was started with another configuration file.
func (m *master) runs(cfg *Config) error {
	_, config := splitContained(cfg.Path)
	title, err := processTitle(m.pid)
	if err != nil {
		return fmt.Errorf("%w: process %d has gone", ErrNoMaster, m.pid)
	}
	args := strings.Fields(title)
	for i, arg := range args[:max(0, len(args)-1)] {
		if arg != "-c" || !filepath.IsAbs(args[i+1]) {
			continue
		}
		if cfg.Root != "" { // whose links mean nothing here
			if args[i+1] != config {
				return fmt.Errorf("%w for %s: process %d runs %s", ErrNoMaster, config, m.pid, args[i+1])
			}
			continue
		}
		theirs, err := filepath.EvalSymlinks(args[i+1])
		if err != nil {
			theirs = args[i+1]
		}
		if ours, err := filepath.EvalSymlinks(config); err == nil && ours != theirs {
			return fmt.Errorf("%w for %s: process %d runs %s", ErrNoMaster, config, m.pid, args[i+1])
		}
	}
	return nil
}

// gone reports whether the master has ended.
func (m *master) gone() bool {
	return m.command == nil && errors.Is(unix.PidfdSendSignal(m.fd, 0, nil, 0), unix.ESRCH)
}

func (m *master) close() {
	if m.command == nil {
		_ = unix.Close(m.fd)
	}
}

// reload tells the master to read its configuration again.
func (m *master) reload(ctx context.Context) error {
	if m.command == nil {
		return m.signal(unix.SIGHUP)
	}
	if _, out, err := Output(ctx, 30*time.Second, m.command[0], m.command[1:]...); err != nil {
		return fmt.Errorf("run %s: %w: %s", strings.Join(m.command, " "), err, firstEmerg(string(out)))
	}
	return nil
}

// signal sends s to the master and to no other process.
func (m *master) signal(s unix.Signal) error {
	if err := unix.PidfdSendSignal(m.fd, s, nil, 0); err != nil {
		return fmt.Errorf("signal NGINX master %d: %w", m.pid, err)
	}
	return nil
}

// runsNGINX reports whether the program of the process is an nginx binary.
func runsNGINX(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && (strings.HasPrefix(filepath.Base(exe), "nginx") || strings.HasPrefix(filepath.Base(exe),
		"openresty"))
}

func processTitle(pid int) (string, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return "", err
	}
	return string(bytes.TrimRight(bytes.ReplaceAll(raw, []byte{0}, []byte{' '}), " ")), nil
}

// worker is one worker process of a master.
type worker struct {
	pid      int
	started  uint64 // clock ticks since boot
	draining bool
}

// ticksPerSecond is the unit in which the kernel shows times (USER_HZ), the same on every architecture Go runs on.
const ticksPerSecond = 100

// bootTicks is now, in the clock in which the kernel shows when a process started.
func bootTicks() uint64 {
	var boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return 0
	}
	return uint64(boot.Nano()) / (uint64(time.Second) / ticksPerSecond)
}

// since is when the worker started, to 10 ms.
func (w worker) since(now time.Time) time.Time {
	return now.Add(-time.Duration(bootTicks()-w.started) * time.Second / ticksPerSecond)
}

// workers lists the live worker processes of the master.
func workers(masterPID int) ([]worker, error) {
	pids, err := children(masterPID)
	if err != nil {
		return nil, fmt.Errorf("list workers of NGINX master %d: %w", masterPID, err)
	}
	var out []worker
	for _, pid := range pids {
		title, err := processTitle(pid)
		if err != nil || !strings.HasPrefix(title, "nginx: worker process") {
			continue // gone, a cache process, or a child that has no title yet
		}
		started, err := startTime(pid)
		if err != nil {
			continue
		}
		out = append(out, worker{pid: pid, started: started, draining: strings.Contains(title, "is shutting down")})
	}
	return out, nil
}

// children lists the child processes of pid, by the kernel's list, or by looking at every process where it has none.
func children(pid int) ([]int, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, task := range tasks {
		list, err := os.ReadFile(filepath.Join(dir, task.Name(), "children"))
		if errors.Is(err, os.ErrNotExist) {
			return childrenByScan(pid)
		}
		if err != nil {
			return nil, err
		}
		for _, field := range strings.Fields(string(list)) {
			if child, err := strconv.Atoi(field); err == nil {
				out = append(out, child)
			}
		}
	}
	return out, nil
}

func childrenByScan(parent int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields, err := statFields(pid); err == nil && string(fields[1]) == strconv.Itoa(parent) {
			out = append(out, pid)
		}
	}
	return out, nil
}

// statFields are the fields of /proc/pid/stat from the third on.
func statFields(pid int) ([][]byte, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The second field is the program's name in parentheses and may hold anything.
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	if len(fields) < 20 {
		return nil, fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(fields))
	}
	return fields, nil
}

// startTime is when the process started, in clock ticks since boot: field 22 of /proc/pid/stat.
func startTime(pid int) (uint64, error) {
	fields, err := statFields(pid)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}
