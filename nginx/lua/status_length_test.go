package lua_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"trimtab/nginx/lua"
	"trimtab/vts"
)

// The shim learns where NGINX keeps a request's length. Lengths must be right before, while and after it does, and also
// when it looks in the wrong place and so never finds it.
func TestShimLearnsWhereTheLengthLies(t *testing.T) {
	const window = "FIRST_WORD, LAST_WORD = 120, 160"
	for _, c := range []struct {
		name, window, asks string
	}{
		{"the length is among the words looked at", window, "false"},
		{"the length lies elsewhere: NGINX is asked for ever", "FIRST_WORD, LAST_WORD = 10, 20", "true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := statusBackend(t)
			upstreams := fmt.Sprintf("upstream app { server %s; keepalive 4; }", a.addr)
			locations := `
        location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }
        location /asks { content_by_lua_block { ngx.print(tostring(package.loaded["trimtab.running"].asks())) } log_by_lua_block { } }
    `
			w := newShimWorld(t, lua.Status{}, 1, upstreams, locations)
			path := filepath.Join(w.shim.Dir, "running.lua")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), window); n != 1 {
				t.Fatalf("the words looked at are named %d times, want once", n)
			}
			if err := os.WriteFile(path, []byte(strings.Replace(string(text), window, c.window, 1)),
				0o644); err != nil {
				t.Fatal(err)
			}
			before := w.settled(t, "the first page", func(vts.Status) bool { return true })
			w.reload(t, upstreams, locations)
			w.settled(t, "the new worker alone", func(st vts.Status) bool {
				workers, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", w.PID, w.PID))
				return err == nil && len(strings.Fields(string(workers))) == 1 && st.LoadMsec > before.LoadMsec
			})

			var in, out atomic.Int64
			dial := (&net.Dialer{}).DialContext
			client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network,
				addr string) (net.Conn, error) {
				conn, err := dial(ctx, network, addr)
				return counted{conn, &in, &out}, err
			}}}
			defer client.CloseIdleConnections()
			const requests = 1500 // more than the shim reads between two comparisons
			for i := range requests {
				resp, err := client.Post(w.url+"/x", "text/plain", strings.NewReader(strings.Repeat("b", i*37%400)))
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			w.settled(t, "every byte", func(st vts.Status) bool {
				p := peerOf(st, "app", a.addr)
				return p.Requests == requests && p.InBytes == uint64(in.Load())
			})
			resp, err := http.Get(w.url + "/asks")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if asks, _ := io.ReadAll(resp.Body); string(asks) != c.asks {
				t.Errorf("got %s for whether NGINX is still asked, want %s", asks, c.asks)
			}
		})
	}
}
