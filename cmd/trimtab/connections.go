package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
)

// connectionsTo counts the connections of this machine's network namespace to a server that are being made, open, or
// waiting for the server's end. The server's own end, where it runs here too, is not counted.
func connectionsTo(server string) (int, error) {
	want, err := netip.ParseAddrPort(server)
	if err != nil {
		return 0, fmt.Errorf("count connections to %s: want IP:port", server)
	}
	n := 0
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(path)
		if err != nil {
			if path == "/proc/net/tcp6" {
				continue // a kernel without IPv6
			}
			return 0, fmt.Errorf("count connections to %s: %w", server, err)
		}
		for line := range bytes.Lines(text) {
			fields := bytes.Fields(line)
			if len(fields) < 4 {
				continue
			}
			remote, ok := kernelAddress(string(fields[2]))
			if state := string(fields[3]); ok && remote == want && (state == "01" || state == "02" ||
				state == "08") { // established, SYN sent, CLOSE_WAIT
				n++
			}
		}
	}
	return n, nil
}

// kernelAddress reads an address as /proc/net/tcp prints it: words of 32 bits in the machine's byte order, here little.
func kernelAddress(text string) (netip.AddrPort, bool) {
	host, port, ok := bytes.Cut([]byte(text), []byte(":"))
	raw, err := hex.DecodeString(string(host))
	n, bad := strconv.ParseUint(string(port), 16, 16)
	if !ok || err != nil || bad != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}
