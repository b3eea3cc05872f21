package nginx

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A configuration in the mount namespace of another process, such as a container's, is named by that process:
// /proc/4711/root/etc/nginx/nginx.conf, or /proc/*/root/etc/nginx/nginx.conf for that of the one NGINX master which
// runs in a mount namespace of its own and has it. All paths in it are the container's, links too: what runs there
// must not make this process read the machine's files. It is read only. Weights are changed by dns or live, or in a
// folder that both sides have.

var containedPath = regexp.MustCompile(`^(/proc/(?:[0-9]+|\*)/root)(/.*)$`)

// splitContained splits a path into the root of another mount namespace and the path there; root is empty for one of
// this machine's.
func splitContained(path string) (root, inside string) {
	if m := containedPath.FindStringSubmatch(path); m != nil {
		return m[1], m[2]
	}
	return "", path
}

// Contained reports whether the path stands in the mount namespace of another process.
func Contained(path string) bool { root, _ := splitContained(path); return root != "" }

// findContained puts the process into a path that leaves it open.
func findContained(path string) (string, error) {
	root, inside := splitContained(path)
	if !strings.Contains(root, "*") {
		return path, nil
	}
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return "", fmt.Errorf("find the container of %s: %w", inside, err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return "", fmt.Errorf("find the container of %s: %w", inside, err)
	}
	found := map[string]string{} // by pid
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		title, err := processTitle(pid)
		if err != nil || !strings.HasPrefix(title, masterTitle) {
			continue
		}
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
		if err != nil || ns == own || !runsInside(title, inside) {
			continue
		}
		if root := fmt.Sprintf("/proc/%d/root", pid); isFileIn(root, inside) {
			found[e.Name()] = root + inside
		}
	}
	// A worker has its master's title for a moment.
	maps.DeleteFunc(found, func(pid, _ string) bool {
		n, _ := strconv.Atoi(pid)
		fields, err := statFields(n)
		return err != nil || found[string(fields[1])] != ""
	})
	paths := slices.Sorted(maps.Values(found))
	switch len(paths) {
	case 1:
		return paths[0], nil
	case 0:
		return "", fmt.Errorf(
			"%w in a mount namespace of its own has %s: is the container up, and are its processes to be seen here",
			ErrNoMaster, inside)
	}
	return "", fmt.Errorf("%d NGINX in mount namespaces of their own have %s: name one, such as %s", len(paths),
		inside, paths[0])
}

// runsInside reports whether a master's title names no other configuration.
func runsInside(title, inside string) bool {
	args := strings.Fields(title)
	i := slices.Index(args, "-c")
	return i < 0 || i+1 == len(args) || !filepath.IsAbs(args[i+1]) || args[i+1] == inside
}

// openIn opens a file below a root as a process whose root it is would.
func openIn(root, inside string) (*os.File, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, inside, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root + inside, Err: err}
	}
	return os.NewFile(uintptr(fd), root+inside), nil
}

func isFileIn(root, inside string) bool {
	f, err := openIn(root, inside)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// mostContained bounds a file that is read from a container.
const mostContained = 64 << 20

// loadContained reads one file of a configuration in another mount namespace. Its Real is its Path: it is not written.
func loadContained(path string) (*File, error) {
	root, inside := splitContained(path)
	file, err := openIn(root, inside)
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", path, unwrapPath(err))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", path, unwrapPath(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read config %s: not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(file, mostContained+1))
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	if len(data) > mostContained {
		return nil, fmt.Errorf("read config %s: more than %d bytes", path, mostContained)
	}
	f := &File{Path: path, Real: path, Data: data, Hash: hashOf(data), Visits: 1, info: info}
	return f, nil
}

// ErrContained says what cannot be done with a configuration of another mount namespace.
var ErrContained = errors.New(
	"the configuration stands in the mount namespace of another process, and is not changed from here: use dns or " +
		"live, or name a folder that both have")

// containedMaster is the pid here of the master whose pid there stands in a file of the root.
func containedMaster(root, pidFile string) (int, error) {
	f, err := openIn(root, pidFile)
	if err != nil {
		return 0, fmt.Errorf("%w: read pid file: %w", ErrNoMaster, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0, fmt.Errorf("%w: read pid file: %w", ErrNoMaster, err)
	}
	want := strings.TrimSpace(string(text))
	process := strings.TrimSuffix(root, "/root")
	ns, err := os.Readlink(process + "/ns/pid")
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoMaster, err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoMaster, err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err != nil || theirs != ns {
			continue
		}
		if pidInside(pid) == want {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("%w: pid file %s%s names process %s, which the container does not have", ErrNoMaster, root,
		pidFile, want)
}

// pidInside is the pid that a process has in its own pid namespace.
func pidInside(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			if fields := strings.Fields(list); len(fields) > 0 {
				return fields[len(fields)-1]
			}
		}
	}
	return ""
}
