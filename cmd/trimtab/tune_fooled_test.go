package main

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fooledBed has three servers of 30 ms before an NGINX, of which the second one goes wrong and heals as it is told, and
// four clients that ask one after the other.
type fooledBed struct {
	*bed
	wrong   atomic.Value    // of type string: "", "sheds", "hangs"
	counted [3]atomic.Int64 // requests, and those of Trimtab itself
	asked   [3]atomic.Int64
}

const probePath = "/healthz"

func startFooledBed(t *testing.T, kind, method, extra string) *fooledBed {
	b := &fooledBed{}
	b.wrong.Store("")
	b.bed = startMethodBed(t, kind, method, "tuned", extra, func(server int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.UserAgent() == "trimtab-probe" {
				b.asked[server].Add(1)
			} else {
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
				case <-time.After(30 * time.Millisecond):
				case <-r.Context().Done():
				}
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
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

// sum is a figure of the daemon's metrics, summed over its labels; 0 when it is not there.
func (b *fooledBed) sum(name string) (sum int) {
	_, text := b.get("/metrics")
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if before, _, _ := strings.Cut(series, "{"); before == name {
			n, _ := strconv.ParseFloat(value, 64)
			sum += int(n)
		}
	}
	return sum
}

// window is a stretch of at least three steps of the daemon and a hundred requests.
type window struct {
	share float64 // of the requests, of the second server
	calm  bool    // every step was completed
}

func (b *fooledBed) window() window {
	b.t.Helper()
	const steps, failures = "trimtab_steps_total", "trimtab_step_failures_total"
	before, end, failed := [3]int64{}, b.sum(steps)+3, b.sum(failures)
	for i := range b.counted {
		before[i] = b.counted[i].Load()
	}
	all := int64(0)
	await(b.t, "three steps and a hundred requests", func() bool {
		all = -before[0] - before[1] - before[2]
		for i := range b.counted {
			all += b.counted[i].Load()
		}
		return all >= 100 && b.sum(steps) >= end
	})
	return window{float64(b.counted[1].Load()-before[1]) / float64(all), b.sum(failures) == failed}
}

// A server that answers 429 at once, or hangs until clients give up, is left at most 2 % of the requests soon after
// that began and for as long as it lasts, and is back when it has healed. Under least_conn one that answers at once is
// the idle one, which NGINX picks whatever its weight: it is taken out, and back as soon as it answers its probe, or
// without one what its peers answer too. How soon is tested in package arena, by its clock.
func TestE2EServersThatOnlyLookFast(t *testing.T) {
	for _, c := range []struct {
		name, kind, method, wrong, probe string
	}{
		{"round robin, by live: it sheds", "live", "", "sheds", probePath},
		{"least_conn, by live: it sheds", "live", "least_conn;", "sheds", ""},
		{"least_conn, by live: it hangs", "live", "least_conn;", "hangs", probePath},
		{"least_conn, by reload: it sheds", "reload", "least_conn;", "sheds", ""},
		{"least_conn, by DNS: it sheds", "dns", "least_conn;", "sheds", probePath},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := startFooledBed(t, c.kind, c.method, "probe = \""+c.probe+"\"")
			_, stderr, _ := start(t, "tune", "--config", b.config)
			await(t, "its share", func() bool { return b.window().share > 0.1 })
			b.wrong.Store(c.wrong)
			await(t, "it to be left next to nothing", func() bool { return b.window().share <= 0.02 })
			for kept := 0; kept < 2; {
				switch w := b.window(); {
				case !w.calm: // a machine this busy shows nothing
				case w.share > 0.02:
					t.Fatalf("while it lasts: got a share of %.3f, want at most 0.02: %s", w.share, stderr)
				default:
					kept++
				}
			}
			// which takes half a minute by its few requests: TestServersThatOnlyLookFastAreLeftNothing
			if c.method == "" {
				return
			}
			await(t, "it to be asked, beside a peer where none is named", func() bool {
				return b.asked[1].Load() > 0 && (c.probe != "" || b.asked[0].Load()+b.asked[2].Load() > 0)
			})
			b.wrong.Store("")
			await(t, "it to be back", func() bool { return b.window().share > 0.1 })
		})
	}
}
