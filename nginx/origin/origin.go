package origin

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrElsewhere is returned when the other end of a connection is not in this network namespace.
var ErrElsewhere = errors.New("the other end of the connection is not on this machine, or in another network namespace")

// ErrOther is returned when the other end of a connection belongs to another process than one of those asked about.
var ErrOther = errors.New("another process answers")

// Evidence is how an answer was recognised.
type Evidence int

const (
	// ByProcess: one of the processes holds the far end.
	ByProcess Evidence = iota + 1
	// ByUser: the open files of the processes may not be read, but the far end has the user of one of them.
	ByUser
)

// Check reports how the far end of conn is known to belong to one of the processes. It fails with ErrOther when it
// belongs to none, with ErrElsewhere when it cannot be seen, and with another error when /proc cannot be read.
func Check(conn net.Conn, pids []int) (Evidence, error) {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = wrapped.NetConn()
	}
	if c, ok := conn.(*net.UnixConn); ok {
		return checkUnix(c, pids)
	}
	far, err := farEnd(conn)
	if err != nil {
		return 0, err
	}
	link := fmt.Sprintf("socket:[%d]", far.inode)
	unreadable := false
	for _, pid := range pids {
		switch held, err := holds(pid, link); {
		case held:
			return ByProcess, nil
		case errors.Is(err, fs.ErrPermission):
			unreadable = true
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return 0, fmt.Errorf("look for the far end of a connection: %w", err)
		}
	}
	if unreadable && slices.ContainsFunc(pids, func(pid int) bool {
		uid, err := user(pid)
		return err == nil && uid == far.uid
	}) {
		return ByUser, nil
	}
	return 0, fmt.Errorf("%w at %s: its socket (of user %d) is not one of processes %v", ErrOther, conn.RemoteAddr(),
		far.uid, pids)
}

// checkUnix goes by the credentials of the process that began to listen. NGINX's master does, and passes the socket on.
func checkUnix(c *net.UnixConn, pids []int) (Evidence, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("look for the far end of a connection: %w", err)
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, fmt.Errorf("look for the far end of a connection: %w", err)
	}
	if slices.Contains(pids, int(cred.Pid)) {
		return ByProcess, nil
	}
	// After an upgrade of the binary the socket is still the old master's, which has gone.
	if errors.Is(unix.Kill(int(cred.Pid), 0), unix.ESRCH) &&
		slices.ContainsFunc(pids, func(pid int) bool {
			uid, err := user(pid)
			return err == nil && uid == int(cred.Uid)
		}) {
		return ByUser, nil
	}
	return 0, fmt.Errorf("%w at %s: process %d (of user %d) listens there, not one of %v", ErrOther, c.RemoteAddr(),
		cred.Pid, cred.Uid, pids)
}

// socket is one line of the kernel's table.
type socket struct {
	inode uint64
	uid   int
}

// farEnd finds the socket at the other end of a TCP connection.
func farEnd(conn net.Conn) (socket, error) {
	local, err := addrPort(conn.LocalAddr())
	if err != nil {
		return socket{}, err
	}
	remote, err := addrPort(conn.RemoteAddr())
	if err != nil {
		return socket{}, err
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue // a kernel without IPv6
		}
		found, ok := findSocket(f, remote, local)
		f.Close()
		if ok {
			return found, nil
		}
	}
	return socket{}, ErrElsewhere
}

// findSocket finds the socket with these addresses, from its own side, that was accepted.
func findSocket(table io.Reader, local, remote netip.AddrPort) (socket, bool) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		if a, ok := parseAddr(fields[1]); !ok || a != local {
			continue
		}
		if a, ok := parseAddr(fields[2]); !ok || a != remote {
			continue
		}
		uid, err := strconv.Atoi(fields[7])
		inode, err2 := strconv.ParseUint(fields[9], 10, 64)
		if err == nil && err2 == nil && inode != 0 {
			return socket{inode: inode, uid: uid}, true
		}
	}
	return socket{}, false
}

// parseAddr reads an address of the kernel's table: groups of four bytes in the machine's order, then the port.
func parseAddr(text string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || len(host) != 8 && len(host) != 32 {
		return netip.AddrPort{}, false
	}
	raw := make([]byte, 0, 16)
	for ; host != ""; host = host[8:] {
		word, err := strconv.ParseUint(host[:8], 16, 32)
		if err != nil {
			return netip.AddrPort{}, false
		}
		raw = binary.NativeEndian.AppendUint32(raw, uint32(word))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok
}

func addrPort(a net.Addr) (netip.AddrPort, error) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("look for the far end of a connection: %T is no TCP address", a)
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), nil
}

// holds reports whether the process has the open file.
func holds(pid int, link string) (bool, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	d, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if target, err := os.Readlink(dir + "/" + name); err == nil && target == link {
			return true, nil
		}
	}
	return false, nil
}

// user is the effective user of a process.
func user(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			if fields := strings.Fields(rest); len(fields) >= 2 {
				return strconv.Atoi(fields[1])
			}
		}
	}
	return 0, fmt.Errorf("read /proc/%d/status: no user", pid)
}
