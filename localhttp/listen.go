package localhttp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"trimtab/trusted"
)

// unixPrefix begins the address of a Unix socket.
const unixPrefix = "unix:"

// CheckAddress says what is wrong with an address: it must be "unix:/path" or a loopback address with a port.
func CheckAddress(address string) error {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		if !filepath.IsAbs(path) || len(path) > 107 {
			return fmt.Errorf("listen %q: want unix: and an absolute path of at most 107 bytes", address)
		}
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("listen %q: want unix:/path or a loopback address such as 127.0.0.1:9146", address)
	}
	return nil
}

// Listen listens on the address. A Unix socket gets the mode 0600 and takes connections of root, of this process's user
// and of the users given. A socket that a process which has gone left behind is replaced; nothing else is.
func Listen(ctx context.Context, address string, l Limits, users ...int) (net.Listener, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	inner, err := open(ctx, address, len(users) > 0)
	if err != nil {
		return nil, err
	}
	return Limited(inner, l, users...), nil
}

// Open listens on the address for another process, which gets the socket and serves it by Limited. The close of the
// listener takes a Unix socket away.
func Open(ctx context.Context, address string) (net.Listener, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	return open(ctx, address, false)
}

func open(ctx context.Context, address string, others bool) (l net.Listener, err error) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		l, err = listenUnix(ctx, path, others)
	} else {
		l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", address, err)
	}
	return l, nil
}

// File is the socket of a listener of Open, for another process; the listener stays open.
func File(l net.Listener) (*os.File, error) {
	if u, ok := l.(*unixListener); ok {
		l = u.Listener
	}
	f, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("%T has no socket", l)
	}
	return f.File()
}

// Limited is a listener with limits, which on a Unix socket takes connections of root, of this process's user and of
// the users given.
func Limited(inner net.Listener, l Limits, users ...int) net.Listener {
	if inner.Addr().Network() != "unix" {
		return capped(inner, l.connections(), nil)
	}
	allowed := append([]int{0, os.Geteuid()}, users...)
	return capped(inner, l.connections(), func(c net.Conn) bool { return slices.Contains(allowed, peerUser(c)) })
}

func listenUnix(ctx context.Context, path string, others bool) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := trusted.Way(path); err != nil {
		return nil, err
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSocket == 0:
		return nil, errors.New("there is something else than a socket")
	default:
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err == nil {
			conn.Close()
			return nil, errors.New("another process listens there")
		}
		if !errors.Is(err, unix.ECONNREFUSED) {
			return nil, err
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	// Under a name of its own until its mode is right: nobody can connect in between.
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", temp)
	if err != nil {
		return nil, err
	}
	inner := l.(*net.UnixListener)
	inner.SetUnlinkOnClose(false) // its name will be another
	mode := fs.FileMode(0o600)
	if others {
		mode = 0o666 // who may connect is then said by the credentials
	}
	if err = os.Chmod(temp, mode); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		inner.Close()
		_ = os.Remove(temp)
		return nil, err
	}
	return &unixListener{Listener: inner, path: path}, nil
}

// unixListener takes its socket away when it is closed.
type unixListener struct {
	net.Listener
	path string
	once sync.Once
}

func (l *unixListener) Close() error {
	l.once.Do(func() { _ = os.Remove(l.path) })
	return l.Listener.Close()
}

func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// peerUser is the user at the other end of a Unix socket; -1 when it cannot be known.
func peerUser(c net.Conn) int {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return -1
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return -1
	}
	uid := -1
	err = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid = int(cred.Uid)
		}
	})
	if err != nil {
		return -1
	}
	return uid
}

// cappedListener closes connections above a number, and those that may not connect, as soon as they are accepted.
type cappedListener struct {
	net.Listener
	slots chan struct{}
	may   func(net.Conn) bool // nil: everybody
}

func capped(inner net.Listener, most int, may func(net.Conn) bool) net.Listener {
	return &cappedListener{Listener: inner, slots: make(chan struct{}, most), may: may}
}

func (l *cappedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.may != nil && !l.may(c) {
			c.Close()
			continue
		}
		select {
		case l.slots <- struct{}{}:
			return &cappedConn{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			c.Close()
		}
	}
}

type cappedConn struct {
	net.Conn
	free func()
}

func (c *cappedConn) Close() error {
	c.free()
	return c.Conn.Close()
}

// Client returns a client of a server on the address, and the URL that its paths begin with.
func Client(address string) (*http.Client, string) {
	transport := &http.Transport{Proxy: nil, DisableKeepAlives: true}
	path, ok := strings.CutPrefix(address, unixPrefix)
	if !ok {
		return &http.Client{Transport: transport}, "http://" + address
	}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &http.Client{Transport: transport}, "http://localhost"
}
