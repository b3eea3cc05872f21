package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fooledBed has three servers of 20 ms before an NGINX, of which the second one goes wrong and heals as it is told, and eight clients
// that ask one after the other.
type fooledBed struct {
	*ordersBed
	t       *testing.T
	wrong   atomic.Value // of type string: "", "sheds", "hangs"
	counted [3]atomic.Int64
}

const probePath = "/healthz"

func startFooledBed(t *testing.T, kind, method, extra string) *fooledBed {
	b := &fooledBed{t: t}
	b.wrong.Store("")
	b.ordersBed = startMethodBed(t, kind, method, "tuned", extra, func(server int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != probePath {
				b.counted[server].Add(1)
			}
			wrong := b.wrong.Load().(string)
			switch {
			case server == 1 && wrong == "sheds":
				w.WriteHeader(http.StatusTooManyRequests)
			case server == 1 && wrong == "hangs":
				<-r.Context().Done()
			default:
				select {
				case <-time.After(20 * time.Millisecond):
				case <-r.Context().Done():
				}
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			client := &http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, b.front, nil)
				if reply, err := client.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, reply.Body)
					_ = reply.Body.Close()
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	return b
}

// steps is how many steps the daemon has made.
func (b *fooledBed) steps() int {
	reply, err := http.Get("http://" + b.listen + "/metrics")
	if err != nil {
		return 0
	}
	defer reply.Body.Close()
	text, _ := io.ReadAll(reply.Body)
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "trimtab_steps_total "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(v))
			return n
		}
	}
	return 0
}

// passing waits until the daemon has made n more steps, and returns the share of the requests that the second server got in them.
func (b *fooledBed) passing(n int) float64 {
	b.t.Helper()
	before, end := [3]int64{}, b.steps()+n
	for i := range b.counted {
		before[i] = b.counted[i].Load()
	}
	await(b.t, fmt.Sprintf("%d steps", n), func() bool { return b.steps() >= end })
	all := 0.0
	for i := range b.counted {
		all += float64(b.counted[i].Load() - before[i])
	}
	return float64(b.counted[1].Load()-before[1]) / max(all, 1)
}

// A server that answers 429 at once, or hangs until clients give up, is left at most 2 % of the requests soon after that began and for as
// long as it lasts, and is back when it has healed. Under least_conn one that answers at once is the idle one, which NGINX picks whatever
// its weight: it is taken out, and back as soon as it answers its probe.
func TestE2EServersThatOnlyLookFast(t *testing.T) {
	for _, c := range []struct {
		name, kind, method, wrong string
	}{
		{"round robin, by live: it sheds", "live", "", "sheds"},
		{"least_conn, by live: it sheds", "live", "least_conn;", "sheds"},
		{"least_conn, by live: it hangs", "live", "least_conn;", "hangs"},
		{"least_conn, by reload: it sheds", "reload", "least_conn;", "sheds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := startFooledBed(t, c.kind, c.method, "probe = \""+probePath+"\"")
			_, stderr, _ := start(t, "tune", "--config", b.config)
			await(t, "the daemon", func() bool { return b.steps() > 0 })
			if share := b.passing(4); share < 0.1 {
				t.Fatalf("before: got a share of %.3f", share)
			}
			b.wrong.Store(c.wrong)
			onset := 5 // the interval in which it begins, three, and one in which the page is polled
			if c.kind == "reload" {
				onset += 5 // two reloads are two seconds apart
			}
			b.passing(onset)
			for range 3 {
				if share := b.passing(3); share > 0.02 {
					t.Errorf("while it lasts: got a share of %.3f, want at most 0.02: %s", share, stderr)
				}
			}
			b.wrong.Store("")
			await(t, "it to be back", func() bool { return b.passing(2) > 0.1 })
		})
	}
}
