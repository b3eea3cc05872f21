// Package instance runs a private NGINX as a child process: its own configuration, pid file, logs and temporary
// folders under one directory, loopback ports only. The testbed and the tests use it; the daemon never starts NGINX.
package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrMissing is returned when NGINX or a module that the configuration loads is not installed.
var ErrMissing = errors.New("not installed")

// MinVersion is the oldest NGINX on which the status shim is tested: that of Debian 11.
var MinVersion = [3]int{1, 18, 0}

const hint = "run scripts/setup.sh, or apt-get install nginx libnginx-mod-http-lua"

// Binary returns the path of the nginx binary: $TRIMTAB_NGINX, else PATH, else the usual sbin folders. It fails with
// ErrMissing when there is none and with a plain error when it is older than MinVersion.
func Binary(ctx context.Context) (string, error) {
	path, err := lookBinary()
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, path, "-v").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s -v: %w", path, err)
	}
	version, err := parseVersion(string(out))
	if err != nil {
		return "", fmt.Errorf("run %s -v: %w", path, err)
	}
	for i, want := range MinVersion {
		if version[i] > want {
			break
		}
		if version[i] < want {
			return "", fmt.Errorf("%s is NGINX %s: want %d.%d.%d or newer", path, join(version), MinVersion[0],
				MinVersion[1], MinVersion[2])
		}
	}
	return path, nil
}

// Version is the version of the binary that Binary finds.
func Version(ctx context.Context) ([3]int, error) {
	path, err := Binary(ctx)
	if err != nil {
		return [3]int{}, err
	}
	return VersionOf(ctx, path)
}

// VersionOf is the version of an nginx binary.
func VersionOf(ctx context.Context, path string) ([3]int, error) {
	out, err := exec.CommandContext(ctx, path, "-v").CombinedOutput()
	if err != nil {
		return [3]int{}, fmt.Errorf("run %s -v: %w", path, err)
	}
	return parseVersion(string(out))
}

func lookBinary() (string, error) {
	if path := os.Getenv("TRIMTAB_NGINX"); path != "" {
		if _, err := exec.LookPath(path); err != nil {
			return "", fmt.Errorf("nginx at TRIMTAB_NGINX=%s: %w: %s", path, ErrMissing, hint)
		}
		return path, nil
	}
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("nginx: %w: %s", ErrMissing, hint)
}

var versionPattern = regexp.MustCompile(`(?:nginx|openresty)/(\d+)\.(\d+)\.(\d+)`)

func parseVersion(s string) (v [3]int, err error) {
	m := versionPattern.FindStringSubmatch(s)
	if m == nil {
		return v, fmt.Errorf("no NGINX version in %q", strings.TrimSpace(s))
	}
	for i := range v {
		if v[i], err = strconv.Atoi(m[i+1]); err != nil {
			return v, err
		}
	}
	return v, nil
}

func join(v [3]int) string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// LuaModules returns the load_module lines for the Lua module, or ErrMissing.
func LuaModules() (string, error) {
	for _, dir := range []string{os.Getenv("TRIMTAB_NGINX_MODULES"), "/usr/lib/nginx/modules",
		"/usr/lib64/nginx/modules", "/usr/share/nginx/modules"} {
		lua := filepath.Join(dir, "ngx_http_lua_module.so")
		if dir == "" || !exists(lua) {
			continue
		}
		var b strings.Builder
		if ndk := filepath.Join(dir, "ndk_http_module.so"); exists(ndk) {
			fmt.Fprintf(&b, "load_module %s;\n", ndk)
		}
		fmt.Fprintf(&b, "load_module %s;\n", lua)
		return b.String(), nil
	}
	return "", fmt.Errorf("NGINX's Lua module: %w: %s", ErrMissing, hint)
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// Ports that are asked for lie below those that Linux gives to whoever connects (ip_local_port_range): a connection
// would take one that was found free before NGINX listens on it.
const (
	portsFrom = 20000
	portsTo   = 32768
	portTries = 100
)

// FreePorts returns n TCP ports that were free on 127.0.0.1 a moment ago, all different.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for tries := 0; len(ports) < n; tries++ {
		port := portsFrom + rand.IntN(portsTo-portsFrom)
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		switch {
		case err == nil:
			defer l.Close() // until all are found
			ports = append(ports, port)
		case tries >= portTries+n:
			return nil, fmt.Errorf("find a free port: %w", err)
		}
	}
	return ports, nil
}

// Instance is a running NGINX.
type Instance struct {
	Dir    string // prefix directory
	Config string // path of nginx.conf
	PID    int    // of the master process
	Binary string

	cmd  *exec.Cmd
	done chan struct{} // closed when the master has ended
	err  error         // what Wait returned; read after done
}

// PIDFile is where the master writes its pid.
func (i *Instance) PIDFile() string { return filepath.Join(i.Dir, "nginx.pid") }

// ErrorLog is the path of NGINX's error log.
func (i *Instance) ErrorLog() string { return filepath.Join(i.Dir, "logs", "error.log") }

// Prepare creates the folders that a configuration under dir needs and returns the main-context lines that keep NGINX
// inside it. HTTPPaths are the matching lines for the http block.
func Prepare(dir string) (mainLines string, err error) {
	for _, d := range []string{"logs", "tmp/body", "tmp/proxy", "tmp/fastcgi", "tmp/uwsgi", "tmp/scgi"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return "", fmt.Errorf("prepare %s: %w", dir, err)
		}
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // the workers must reach folders that only the caller can
	}
	return user + fmt.Sprintf("pid %s;\nerror_log %s notice;\n", filepath.Join(dir, "nginx.pid"),
		filepath.Join(dir, "logs", "error.log")), nil
}

// HTTPPaths returns the http-context lines that keep NGINX's temporary files under dir.
func HTTPPaths(dir string) string {
	var b strings.Builder
	for directive, sub := range map[string]string{"client_body": "body", "proxy": "proxy", "fastcgi": "fastcgi",
		"uwsgi": "uwsgi", "scgi": "scgi"} {
		fmt.Fprintf(&b, "    %s_temp_path %s;\n", directive, filepath.Join(dir, "tmp", sub))
	}
	return b.String()
}

// Start tests and starts the configuration (its full text) as dir/nginx.conf and waits until every address in ready
// accepts connections. The configuration must hold Prepare's and HTTPPaths' lines. The caller must Stop it.
func Start(ctx context.Context, dir, config string, ready ...string) (*Instance, error) {
	binary, err := Binary(ctx)
	if err != nil {
		return nil, err
	}
	return StartBinary(ctx, binary, dir, config, ready...)
}

// StartBinary is Start for a binary that is given.
func StartBinary(ctx context.Context, binary, dir, config string, ready ...string) (*Instance, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return nil, fmt.Errorf("write nginx.conf: %w", err)
	}
	if out, err := exec.CommandContext(ctx, binary, "-t", "-q", "-p", dir, "-c", path).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("nginx -t refused %s: %s", path, firstLine(out, err))
	}
	i := &Instance{Dir: dir, Config: path, Binary: binary, done: make(chan struct{})}
	i.cmd = exec.Command(binary, "-p", dir, "-c", path, "-g", "daemon off;")
	var stderr bytes.Buffer
	i.cmd.Stderr = &stderr
	// A group of its own keeps the terminal's Ctrl-C from reaching NGINX before the load has ended; the death
	// signal keeps it from outliving a killed parent.
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	go func() {
		// The death signal follows the thread that started the child, so that thread must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := i.cmd.Start()
		started <- err
		if err == nil {
			i.err = i.cmd.Wait()
		}
		close(i.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	i.PID = i.cmd.Process.Pid
	if err := i.waitReady(ctx, ready); err != nil {
		i.Stop()
		return nil, fmt.Errorf("start nginx: %w%s", err, tail(stderr.Bytes()))
	}
	return i, nil
}

func (i *Instance) waitReady(ctx context.Context, ready []string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var dialer net.Dialer
	for {
		pid, err := os.ReadFile(i.PIDFile())
		up := err == nil && strings.TrimSpace(string(pid)) == strconv.Itoa(i.PID) && i.hasWorker()
		for _, addr := range ready {
			if !up {
				break
			}
			conn, err := dialer.DialContext(ctx, "tcp", addr)
			if up = err == nil; up {
				conn.Close()
			}
		}
		if up {
			return nil
		}
		select {
		case <-i.done:
			return fmt.Errorf("it ended at once: %w", i.err)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// hasWorker reports whether the master has started a worker. From just before then on it minds its signals: one that
// comes earlier, even after the pid file is there, is noticed only with the next.
func (i *Instance) hasWorker() bool {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", i.PID))
	return err != nil || len(bytes.TrimSpace(children)) > 0 // a kernel without that file cannot say
}

// Done is closed when the master has ended, whoever ended it.
func (i *Instance) Done() <-chan struct{} { return i.done }

// Stop ends the instance: gracefully for up to two seconds, then by force, and waits until it has gone. Calling it
// twice is harmless.
func (i *Instance) Stop() {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGQUIT, 2 * time.Second}, {syscall.SIGTERM, 2 * time.Second}} {
		select {
		case <-i.done:
			return
		default:
		}
		_ = i.cmd.Process.Signal(step.signal)
		select {
		case <-i.done:
			return
		case <-time.After(step.wait):
		}
	}
	// The group holds the workers too; the leader is our own child, so its id cannot have been reused.
	_ = syscall.Kill(-i.PID, syscall.SIGKILL)
	<-i.done
}

func firstLine(out []byte, err error) string {
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return err.Error()
}

func tail(out []byte) string {
	if s := strings.TrimSpace(string(out)); s != "" {
		return ": " + strings.ReplaceAll(s, "\n", "; ")
	}
	return ""
}
