//go:build !linux

package socialnet

import (
	"fmt"
	"net"
)

// port is an address that is listened on again after a fault.
type port struct{ addr string }

// reservePort takes an address such as 127.0.0.1:9001; empty means a free port of 127.0.0.1.
func reservePort(addr string) (*port, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &port{addr: l.Addr().String()}
	return p, l.Close()
}

func (p *port) listen() (net.Listener, error) { return net.Listen("tcp4", p.addr) }

func (p *port) close() {}
