//go:build unix

package loadgen

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// probe looks whether an idle connection was closed by the other side, without waiting.
type probe struct {
	raw  syscall.RawConn
	peek func(fd uintptr) bool
	idle *bool
}

func newProbe(c net.Conn) probe {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return probe{}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return probe{}
	}
	idle := new(bool)
	return probe{raw: raw, idle: idle, peek: func(fd uintptr) bool {
		var one [1]byte
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		*idle = err == unix.EAGAIN
		return true
	}}
}

// alive reports whether the connection is open and silent: an end of file, an error, or bytes that nobody asked for (a
// 408, a TLS alert) mean that the next request must not go this way.
func (p *probe) alive() bool {
	if p.raw == nil {
		return true
	}
	*p.idle = false
	return p.raw.Read(p.peek) == nil && *p.idle
}
