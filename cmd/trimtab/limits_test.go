package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// sendLoad sends GETs one after the other from so many clients until the test or the returned function ends it, which
// reports how many were answered by 200 and the first that was not.
func sendLoad(t *testing.T, url string, clients int) (stop func() (answered int, lost error)) {
	t.Helper()
	done := make(chan struct{})
	var all sync.WaitGroup
	var mu sync.Mutex
	answered, lost := 0, error(nil)
	for range clients {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{Proxy: nil}, Timeout: 10 * time.Second}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, err := client.Get(url)
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						err = fmt.Errorf("status %s", resp.Status)
					}
				}
				mu.Lock()
				if answered++; err != nil {
					answered--
					if lost == nil {
						lost = err
					}
				}
				mu.Unlock()
			}
		})
	}
	var once sync.Once
	stop = func() (int, error) {
		once.Do(func() { close(done) })
		all.Wait()
		return answered, lost
	}
	t.Cleanup(func() { stop() })
	return stop
}

// The daemon tunes around what the configuration says of single servers' shares, whichever way weights are set.
func TestE2ELimitsOfShares(t *testing.T) {
	for _, kind := range []string{"reload", "live", "dns"} {
		t.Run("by "+kind, func(t *testing.T) {
			// The canary is the fastest by far: untold, it would get the most.
			slow := []time.Duration{12 * time.Millisecond, 12 * time.Millisecond, time.Millisecond}
			b := startOrdersBed(t, kind, "tuned", `min_share = 0.2
[[upstream.server]]
address = "SERVER3"
pin = 0.05
[[upstream.server]]
address = "SERVER1"
max_share = 0.4`, func(i int) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) { <-time.After(slow[i]); fmt.Fprint(w, "ok") }
			})
			stopLoad := sendLoad(t, b.front, 4)
			_, stderr, stop := start(t, "tune", "--config", b.config)
			within := func() bool {
				p := b.peers(t)
				canary, first := share(p, b.servers[2]), share(p, b.servers[0])
				return canary > 0.045 && canary < 0.055 && first > 0.19 && first < 0.41
			}
			await(t, "the shares that are wanted", within)
			if out := new(buffer); run(t.Context(), []string{"explain", "--config", b.config}, out, out) != 0 ||
				!strings.Contains(out.String(), "As configured, server "+b.servers[2]+" of app has 5 %") {
				t.Errorf("explain: %s", out)
			}
			await(t, "the shares again", within) // a page that is read in the moment of a reload may fail
			order := func(args ...string) string {
				t.Helper()
				out := new(buffer)
				if code := run(t.Context(), append(args, "--config", b.config, "--upstream", "app"), out,
					out); code != 0 {
					t.Fatalf("%v: code %d: %s", args, code, out)
				}
				return out.String()
			}
			if out := order("limit", "--server", b.servers[0], "--max", "25%", "--for", "1h"); !strings.Contains(out,
				"in force after") {
				t.Errorf("limit: %s", out)
			}
			await(t, "the share that is ordered", func() bool {
				s := share(b.peers(t), b.servers[0])
				return s > 0 && s < 0.256
			})
			if out := new(buffer); run(t.Context(), []string{"explain", "--config", b.config}, out, out) != 0 ||
				!strings.Contains(out.String(), "server "+b.servers[0]+" of app has at most 25 % of the requests, "+
					"for another") {
				t.Errorf("explain: %s", out)
			}
			order("limit", "--server", b.servers[0], "--off")
			order("limit", "--keep", "--for", "1h")
			if out := new(buffer); run(t.Context(), []string{"orders", "--config", b.config}, out, out) != 0 ||
				!strings.HasPrefix(out.String(), "upstream app is not tuned, for another") ||
				strings.Count(out.String(), "\n") != 1 {
				t.Errorf("orders: %s", out)
			}
			said := new(buffer)
			if code := run(t.Context(), []string{"orders", "--config", b.config, "--json"}, said, said); code != 0 {
				t.Errorf("orders --json: code %d", code)
			}
			conforms(t, "trimtab orders", said.String())
			if code := stop(); code != 0 || strings.Contains(stderr.String(), "level=ERROR") {
				t.Errorf("code %d: %s", code, stderr)
			}
			if answered, lost := stopLoad(); answered == 0 || lost != nil {
				t.Errorf("%d answered, the first that was lost: %v", answered, lost)
			}
		})
	}
}
