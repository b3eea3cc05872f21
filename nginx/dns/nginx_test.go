package dns_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"trimtab/nginx/dns"
)

// A round of the balancing is exactly the weights; NGINX's two workers pick each for themselves, and one connection
// stays with one of them.
func TestNGINXGoesByTheWeights(t *testing.T) {
	b := newBed(t, 3, "", false)
	a := b.actuator(t)
	for _, c := range []struct {
		name    string
		weights []int
	}{
		{"small weights", []int{1, 2, 4}},
		{"beyond a hundred", []int{300, 100, 1000}},
		{"equal", []int{1, 1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := a.Apply(t.Context(), b.want(c.weights...))
			if err != nil || r.Confirmed.IsZero() {
				t.Fatalf("got %+v, %v", r, err)
			}
			t.Logf("confirmed after %v", r.Took)
			sum := c.weights[0] + c.weights[1] + c.weights[2]
			if got := b.answers(t, sum); !slices.Equal(got, c.weights) {
				t.Errorf("got %v, want %v", got, c.weights)
			}
			now, err := a.InForce(t.Context())
			if err != nil || fmt.Sprint(now) != fmt.Sprint(b.want(c.weights...)) {
				t.Errorf("in force: got %v, %v", now, err)
			}
		})
	}
}

// Upstreams whose names DNS cannot hold, or would read otherwise, are asked for by names that it can.
func TestNGINXAsksForOddNames(t *testing.T) {
	for _, name := range []string{"Web.Front", "web_1", strings.Repeat("long-", 20) + "name", "-dash-", "a.b.c", "u--x",
		"größe"} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 2, "", true)
			text, err := os.ReadFile(b.Config)
			if err != nil {
				t.Fatal(err)
			}
			renamed := strings.NewReplacer("upstream app", "upstream "+name, "zone app", "zone z", "server app.trimtab",
				"server "+dns.Host(name, dns.DefaultZone), "http://app", "http://"+name,
				"proxy_http_version 1.1;", "proxy_http_version 1.1; proxy_set_header Host x;").Replace(string(text))
			if _, _, err := b.store.Update(t.Context(), func(s *dns.State) (bool, error) {
				s.Upstreams = map[string]dns.Upstream{name: s.Upstreams["app"]}
				return true, nil
			}); err != nil {
				t.Fatal(err)
			}
			b.serve(t)
			b.restart(t, renamed)
			b.waitInForce(t)
			if got := b.answers(t, 4); got[0] != 2 || got[1] != 2 {
				t.Errorf("got %v, want both servers to answer", got)
			}
		})
	}
}

// Servers by IPv4 and IPv6 in one upstream.
func TestNGINXGoesByBothFamilies(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	six := &httptest.Server{Listener: l,
		Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Context().Value(http.LocalAddrContextKey))
		})}}
	six.Start()
	t.Cleanup(six.Close)
	b := newBed(t, 1, "server "+l.Addr().String()+";", false)
	b.servers = append(b.servers, l.Addr().String())
	if _, err := b.actuator(t).Apply(t.Context(), b.want(2, 3)); err != nil {
		t.Fatal(err)
	}
	if got := b.answers(t, 5); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("got %v, want the weights", got)
	}
}
