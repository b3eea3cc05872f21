package setup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"trimtab/nginx"
)

// ErrNoListener says that there is no address at which a probe request may be sent.
var ErrNoListener = errors.New("no address of NGINX to send a probe request to")

// otherProtocols are blocks whose listeners must not get HTTP.
var otherProtocols = regexp.MustCompile(`(?m)^\s*(stream|mail)\s*\{`)

// probeWait bounds the wait for one answer.
const probeWait = 2 * time.Second

// Probe sends n requests to the first address at which the master answers them, and returns the address. They are
// TRACE, which NGINX counts and refuses by itself with 405 before it looks for a location: no upstream sees them.
// Nothing is sent where the configuration (nil: not known) has listeners of other protocols, or where the master has a
// network of its own.
func Probe(ctx context.Context, pid int, cfg *nginx.Config, n int) (netip.AddrPort, error) {
	if cfg == nil || otherNamespace(pid, "net") {
		return netip.AddrPort{}, ErrNoListener
	}
	for _, f := range cfg.Files {
		if otherProtocols.Match(f.Data) {
			return netip.AddrPort{}, fmt.Errorf("%w: %s has other protocols than HTTP", ErrNoListener, f.Path)
		}
	}
	for _, a := range listens(pid) {
		to := reachable(a)
		if trace(ctx, to) != nil {
			continue // it wants TLS, the PROXY protocol or something else first
		}
		for range n - 1 {
			if err := trace(ctx, to); err != nil {
				return to, fmt.Errorf("probe %s: %w", to, err)
			}
		}
		return to, nil
	}
	return netip.AddrPort{}, ErrNoListener
}

// trace sends one request on a connection of its own and waits for an answer by HTTP.
func trace(ctx context.Context, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(probeWait)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "TRACE / HTTP/1.1\r\nHost: trimtab-doctor\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "HTTP/1.") {
		return errors.New("no answer by HTTP")
	}
	return nil
}
