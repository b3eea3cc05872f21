package setup

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"trimtab/nginx/instance"
)

// NGINX is a running master.
type NGINX struct {
	PID    int
	Binary string // path of the program; as its own mount namespace has it
	// Config is the main file, absolute. In a container it begins with /proc/*/root, as nginx.config takes it.
	Config    string
	Prefix    string // given with -p; empty: compiled in
	Version   [3]int // all 0: not known
	Contained bool   // it has files of its own
	Isolated  bool   // it has a network of its own: loopback addresses do not lead there
	Listens   []netip.AddrPort
}

const masterTitle = "nginx: master process"

// Find lists the masters that run on this machine, by process. Those of which nothing can be read are left out.
func Find(ctx context.Context) ([]NGINX, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("find nginx: %w", err)
	}
	var out []NGINX
	pids := map[int]bool{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.HasPrefix(string(title), masterTitle) {
			continue
		}
		n, err := look(ctx, pid, string(title))
		if err != nil {
			continue
		}
		pids[pid] = true
		out = append(out, n)
	}
	// A child has its master's title until it gets its own.
	return slices.DeleteFunc(out, func(n NGINX) bool { return pids[parent(n.PID)] }), nil
}

// look reads what is known of a master.
func look(ctx context.Context, pid int, title string) (NGINX, error) {
	n := NGINX{PID: pid}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return n, err
	}
	n.Binary = strings.TrimSuffix(exe, " (deleted)")
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/root%s", pid, n.Binary)); err != nil {
		// Replaced by an upgrade, or seen from another root: as it was called.
		if called := calledAs(title); called != "" {
			n.Binary = called
		}
	}
	n.Contained = differs(pid, n.Binary)
	n.Isolated = otherNamespace(pid, "net")
	program := n.Binary
	if n.Contained {
		program = fmt.Sprintf("/proc/%d/exe", pid)
	}
	if v, err := instance.VersionOf(ctx, program); err == nil {
		n.Version = v
	}
	n.Config, n.Prefix = arguments(title)
	built := compiledIn(ctx, program)
	if n.Config == "" {
		n.Config = built["conf-path"]
	}
	if n.Config == "" {
		n.Config = "/etc/nginx/nginx.conf"
	}
	if !filepath.IsAbs(n.Config) {
		prefix := n.Prefix
		if prefix == "" {
			prefix = built["prefix"]
		}
		n.Config = filepath.Join("/", prefix, n.Config)
	}
	n.Contained = n.Contained || differs(pid, n.Config)
	if n.Contained {
		n.Config = "/proc/*/root" + n.Config
	}
	n.Listens = listens(pid)
	return n, nil
}

// arguments are the configuration and the prefix of a master's title: "nginx: master process /usr/sbin/nginx -c FILE -p
// DIR".
func arguments(title string) (config, prefix string) {
	words := strings.Fields(strings.ReplaceAll(strings.TrimRight(title, "\x00"), "\x00", " "))
	for i, w := range words {
		switch {
		case w == "-c" && i+1 < len(words):
			config = words[i+1]
		case w == "-p" && i+1 < len(words):
			prefix = words[i+1]
		}
	}
	return config, prefix
}

// calledAs is the program of a master's title, with its path; empty: it is not found.
func calledAs(title string) string {
	words := strings.Fields(strings.ReplaceAll(strings.TrimPrefix(title, masterTitle), "\x00", " "))
	if len(words) == 0 {
		return ""
	}
	for _, name := range []string{words[0], "/usr/sbin/" + words[0], "/usr/local/sbin/" + words[0]} {
		if path, err := exec.LookPath(name); err == nil {
			if abs, err := filepath.Abs(path); err == nil {
				return abs
			}
		}
	}
	return ""
}

var option = regexp.MustCompile(`--(conf-path|prefix)=(\S+)`)

// compiledIn are the paths that a binary was built with.
func compiledIn(ctx context.Context, program string) map[string]string {
	out := map[string]string{}
	text, err := exec.CommandContext(ctx, program, "-V").CombinedOutput()
	if err != nil {
		return out
	}
	for _, m := range option.FindAllStringSubmatch(string(text), -1) {
		out[m[1]] = m[2]
	}
	return out
}

// differs reports whether a path is another file for the process than for this one.
func differs(pid int, path string) bool {
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/root%s", pid, path))
	if err != nil {
		return false
	}
	ours, err := os.Stat(path)
	return err != nil || !os.SameFile(ours, theirs)
}

func otherNamespace(pid int, kind string) bool {
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if err != nil {
		return false
	}
	ours, err := os.Readlink("/proc/self/ns/" + kind)
	return err == nil && ours != theirs
}

func parent(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "PPid:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(rest))
			return n
		}
	}
	return 0
}

// listens are the TCP addresses that a process listens on.
func listens(pid int) []netip.AddrPort {
	held := map[string]bool{}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		link, err := os.Readlink(filepath.Join(dir, e.Name()))
		if inode, ok := strings.CutPrefix(link, "socket:["); err == nil && ok {
			held[strings.TrimSuffix(inode, "]")] = true
		}
	}
	var out []netip.AddrPort
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			const listening = "0A"
			if len(fields) < 10 || fields[3] != listening || !held[fields[9]] {
				continue
			}
			if a, ok := parseAddr(fields[1]); ok && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
		f.Close()
	}
	slices.SortFunc(out, func(a, b netip.AddrPort) int { return a.Compare(b) })
	return out
}

// parseAddr reads an address of the kernel's table: groups of four bytes in the machine's order, then the port.
func parseAddr(text string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	raw, bad := hex.DecodeString(host)
	if !ok || err != nil || bad != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	a, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), ok
}
