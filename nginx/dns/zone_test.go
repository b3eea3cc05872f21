package dns_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/dns"
)

// The size that the installation gives a zone holds all its servers, also while every weight changes and requests to
// the servers of before are under way.
func TestZonesHoldTheirServers(t *testing.T) {
	for _, n := range []int{40, 150} {
		t.Run(fmt.Sprint(n, " servers"), func(t *testing.T) {
			b := newBed(t, 1, "", true)
			port, _, _ := strings.Cut(b.servers[0][strings.LastIndexByte(b.servers[0], ':')+1:], "/")
			u := dns.Upstream{}
			for i := range n {
				u.Servers = append(u.Servers, dns.Peer{Address: net.JoinHostPort(fmt.Sprintf("127.0.%d.%d", i/200,
					1+i%200), port), Weight: 1, Base: 1})
			}
			if _, _, err := b.store.Update(t.Context(), func(s *dns.State) (bool,
				error) {
				s.Upstreams["app"] = u
				return true, nil
			}); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(b.Config)
			if err != nil {
				t.Fatal(err)
			}
			b.restart(t, strings.Replace(string(text), "zone app 64k", fmt.Sprintf("zone app %dk", dns.ZoneKiB(n)), 1))
			b.serve(t)
			a := b.actuator(t)
			within(t, "all servers on the page", 15*time.Second, func() error {
				_,
					err := a.InForce(t.Context())
				return err
			})
			for round := range 2 {
				want := nginx.Settings{"app": {}}
				for i, s := range u.Servers {
					want["app"][s.Address] = nginx.Setting{Weight: 2 + (i+round)%7}
				}
				if _, err := a.Apply(t.Context(), want); err != nil {
					t.Fatal(err)
				}
			}
			if log, err := os.ReadFile(b.ErrorLog()); err != nil || strings.Contains(string(log),
				"memory exhausted") || strings.Contains(string(log), "no memory") {
				t.Errorf("the zone of %d KiB is too small: %v", dns.ZoneKiB(n), err)
			}
		})
	}
}
