package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

// addressesOf are the addresses of a host as this machine knows it.
func addressesOf(t *testing.T, host string) []netip.Addr {
	t.Helper()
	list, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip", host)
	if err != nil {
		return nil
	}
	for i := range list {
		list[i] = list[i].Unmap()
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// A server that is written by name is the one that the page shows for it, and tuned as such.
func TestE2EServersByName(t *testing.T) {
	host, address := "", netip.Addr{}
	for _, name := range []string{"ip6-localhost", "localhost", "ip6-loopback", "localhost.localdomain"} {
		if list := addressesOf(t, name); len(list) == 1 && list[0].IsLoopback() {
			host, address = name, list[0]
			break
		}
	}
	if host == "" {
		t.Skip("no name stands for one loopback address here")
	}
	b := startOrdersBed(t, "reload", "equal", "", answerOK)
	l, err := net.Listen("tcp", net.JoinHostPort(address.String(), "0"))
	if err != nil {
		t.Skip(err)
	}
	named := &httptest.Server{Listener: l, Config: &http.Server{Handler: answerOK(0)}}
	named.Start()
	t.Cleanup(named.Close)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	plain, err := os.ReadFile(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	line := "server " + net.JoinHostPort(host, port)
	b.render(t, strings.Replace(string(plain), "server "+b.servers[0]+";", line+" weight=3;", 1))
	shown := l.Addr().String()
	await(t, "the address of the name", func() bool { return b.peers(t)[shown].Weight == 3 })
	_, log, stop := start(t, "tune", "--config", b.config, "--on-exit", "restore")
	defer func() {
		if t.Failed() {
			t.Log(log)
		}
	}()
	await(t, "equal weights", func() bool {
		return b.peers(t)[shown].Weight == 1 && strings.Contains(log.String(), "weights changed")
	})
	if text, err := os.ReadFile(b.Config); err != nil || !strings.Contains(string(text), line+" weight=1;") {
		t.Errorf("the line by name: got %s, %v", text, err)
	}
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d", code)
	}
	if text, err := os.ReadFile(b.Config); err != nil || !strings.Contains(string(text), line+" weight=3;") {
		t.Errorf("--on-exit restore: got %s, %v", text, err)
	}
}

// The servers of a line whose name stands for several share its weight, so that by reloads it is left out, which is
// said.
func TestE2ENameWithSeveralAddresses(t *testing.T) {
	c := startContainedWith(t, func(s []string) string {
		_, port, _ := net.SplitHostPort(s[0])
		return fmt.Sprintf("        server two.example:%s weight=3;\n        server %s;\n", port, s[1])
	}, false, "printf '127.0.0.1 two.example\\n127.0.0.2 two.example\\n' >DIR/hosts && mount --bind DIR/hosts "+
		"/etc/hosts && ")
	await(t, "both addresses", func() bool { return len(c.shown(t)) == 3 })
	config := c.configure(t, fmt.Sprintf("[nginx]\nconfig = %q\n", c.conf()))
	_, log, stop := start(t, "tune", "--config", config)
	await(t, "what is left out to be said", func() bool {
		return strings.Contains(log.String(), "its 2 lines, some by name, are 3 servers on the status page")
	})
	if code := stop(); code != 0 || c.shown(t)[c.servers[0]] != 3 {
		t.Errorf("code %d, weights %v: want nothing changed", code, c.shown(t))
	}
}
