package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"trimtab/vts"
)

// startOrdersBed starts a bed of three servers. The configuration of the daemon ends with the lines of extra, which are
// of [[upstream]].
func startOrdersBed(t *testing.T, kind, learner, extra string, handler func(server int) http.HandlerFunc) *bed {
	t.Helper()
	return startMethodBed(t, kind, "", learner, extra, handler)
}

// startMethodBed is startOrdersBed with a balancing method: "least_conn;".
func startMethodBed(t *testing.T, kind, method, learner, extra string,
	handler func(server int) http.HandlerFunc) *bed {
	t.Helper()
	return newBed(t, bedPlan{kind: kind, upstream: method, servers: each(3, handler), pace: "500ms 100ms",
		daemon: fmt.Sprintf("[tuner]\nlearner = %q\n[regimes]\noff = true\n[[upstream]]\nname = \"app\"\n%s\n",
			learner, extra)})
}

// peers are the servers on the page.
func (b *bed) peers(t *testing.T) map[string]vts.Peer {
	t.Helper()
	client, err := vts.NewClient(vts.ClientConfig{URL: b.page, FreshConnections: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	st, err := client.Status(t.Context())
	out := map[string]vts.Peer{}
	if err != nil {
		return out
	}
	for _, u := range st.Upstreams {
		for _, p := range u.Peers {
			// By DNS a server may stand on it twice: as itself, and as the static line that stands in.
			if was, twice := out[p.Server]; u.Name == "app" && (!twice || was.Backup) {
				out[p.Server] = p
			}
		}
	}
	return out
}

func answerOK(int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }
}

// share is what the balancing gives a server by the weights on the page.
func share(peers map[string]vts.Peer, server string) float64 {
	sum, own := 0, 0
	for _, p := range peers {
		if p.Down || p.Backup {
			continue
		}
		sum += p.Weight
		if p.Server == server {
			own = p.Weight
		}
	}
	if sum == 0 {
		return -1
	}
	return float64(own) / float64(sum)
}

func TestE2EOrders(t *testing.T) {
	for _, kind := range []string{"reload", "live", "dns"} {
		t.Run("by "+kind, func(t *testing.T) {
			b := startOrdersBed(t, kind, "equal", `slow_start = "4s"`, answerOK)
			config, servers, peers := b.config, b.servers, func() map[string]vts.Peer { return b.peers(t) }
			order := func(want int, args ...string) string {
				t.Helper()
				out, errs := new(buffer), new(buffer)
				if code := run(t.Context(), append(args, "--config", config, "--upstream", "app"), out,
					errs); code != want {
					t.Fatalf("%v: code %d, want %d: %s%s", args, code, want, out, errs)
				}
				return out.String() + errs.String()
			}
			_, stderr, stop := start(t, "tune", "--config", config)
			await(t, "the daemon", func() bool { return strings.Contains(stderr.String(), "started") })
			await(t, "equal weights", func() bool { s := share(peers(), servers[0]); return s > 0.33 && s < 0.34 })

			if out := order(0, "pin", "--server", servers[2], "--share", "5%"); !strings.Contains(out,
				"pinned to 5 %") {
				t.Errorf("pin: %s", out)
			}
			await(t, "the canary's share", func() bool {
				s := share(peers(), servers[2])
				return s > 0.049 &&
					s < 0.051
			})
			if out := order(0, "drain", "--server", servers[0]); !strings.Contains(out, "drained") {
				t.Errorf("drain: %s", out)
			}
			await(t, "the drained server to be out, and the canary to keep its share", func() bool {
				p, s := peers(), share(peers(), servers[2])
				return (p[servers[0]].Down || p[servers[0]].Backup) && s > 0.049 && s < 0.051
			})
			await(t, "the page to list the changes as ordered, and how they are taken back", func() bool {
				_, text := b.get("/page/live")
				return strings.Contains(text, `"cause":"orders"`) && strings.Contains(text, servers[0]+" is drained") &&
					strings.Contains(text, "trimtab undrain --upstream app")
			})
			if out := new(buffer); run(t.Context(), []string{"orders", "--config", config}, out, out) != 0 ||
				strings.Count(out.String(), "since") != 2 {
				t.Errorf("orders: %s", out)
			}
			if out := new(buffer); run(t.Context(), []string{"explain", "--config", config}, out, out) != 0 ||
				!strings.Contains(out.String(), "server "+servers[0]+" of app is drained") {
				t.Errorf("explain: %s", out)
			}
			order(0, "drain", "--server", servers[2], "--wait", "20s")
			order(exitRefused, "drain", "--server", servers[1])
			order(exitRefused, "drain", "--server", "10.9.9.9:80")
			order(0, "undrain", "--server", servers[2])
			order(0, "undrain", "--server", servers[0])
			await(t, "the slow start to end with the weights of before", func() bool {
				p := peers()
				a, c := share(p, servers[0]), share(p, servers[2])
				return a > 0.33 && a < 0.34 && c > 0.33 && c < 0.34
			})
			if code := stop(); code != 0 {
				t.Errorf("stopped: code %d", code)
			}
			if strings.Contains(stderr.String(), "level=ERROR") {
				t.Errorf("the daemon logged errors: %s", stderr)
			}

			// Without a daemon the command sets the weights itself; with --for the order is over after that.
			if kind == "reload" {
				if out := order(0, "pin", "--server", servers[1], "--share", "10%", "--for",
					"1h"); !strings.Contains(out, "no daemon runs") {
					t.Errorf("pin without a daemon: %s", out)
				}
				await(t, "the share without a daemon", func() bool {
					s := share(peers(),
						servers[1])
					return s > 0.099 && s < 0.101
				})
			}
		})
	}
}

func TestConnectionsTo(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	defer s.Close()
	server := s.Listener.Addr().String()
	if n, err := connectionsTo(server); n != 0 || err != nil {
		t.Errorf("before: got %d, %v", n, err)
	}
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n, err := connectionsTo(server); n != 1 || err != nil {
		t.Errorf("with a kept connection: got %d, %v, want 1", n, err)
	}
	if a, ok := kernelAddress("0100007F:1F90"); !ok || a.String() != "127.0.0.1:8080" {
		t.Errorf("got %v, %v", a, ok)
	}
	if a, ok := kernelAddress("B80D0120000000000000000001000000:0050"); !ok || a.String() != "[2001:db8::1]:80" {
		t.Errorf("got %v, %v", a, ok)
	}
}
