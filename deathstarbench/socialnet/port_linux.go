package socialnet

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// port is an address that stays ours while nothing listens on it. A second socket is bound to it that never listens:
// connections are refused, yet the kernel gives the port to nobody else, neither to a server nor as the near end of
// one of the thousands of connections that a test opens.
type port struct {
	addr   string
	holder *os.File
}

// reservePort takes an address such as 127.0.0.1:9001; empty means a free port of 127.0.0.1.
func reservePort(addr string) (*port, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	at, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	holder := os.NewFile(uintptr(fd), "port")
	sa := &unix.SockaddrInet4{Port: at.Port}
	copy(sa.Addr[:], at.IP.To4())
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err == nil {
		err = unix.Bind(fd, sa)
	}
	if err != nil {
		holder.Close()
		return nil, fmt.Errorf("bind %s: %w", addr, err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		holder.Close()
		return nil, os.NewSyscallError("getsockname", err)
	}
	at.Port = bound.(*unix.SockaddrInet4).Port
	return &port{addr: at.String(), holder: holder}, nil
}

func (p *port) listen() (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}); e != nil {
			return e
		}
		return err
	}}
	return config.Listen(context.Background(), "tcp4", p.addr)
}

func (p *port) close() { _ = p.holder.Close() }
