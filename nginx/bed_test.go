package nginx

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/nginx/instance"
)

// bed is a running NGINX with one upstream of two servers, which NGINX plays itself, so that the weights in force can
// be counted from outside.
type bed struct {
	*instance.Instance
	front string
	a, b  string // addresses of the two servers
	old   []byte // nginx.conf as started
}

const bedWorkers = 1 // one worker: one round of the balancing, counted exactly

// newBed starts NGINX; extra goes into the http block.
func newBed(t testing.TB, extra string) *bed {
	t.Helper()
	binaryOrSkip(t)
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	b := &bed{front: addr(0), a: addr(1), b: addr(2)}
	conf := main + fmt.Sprintf(`worker_processes %d;
events {}
http {
%s    access_log off;
    upstream u {
        server %s; # the first
        server "%s" "weight=2" max_fails=3;
    }
    server { listen %s; location / { proxy_pass http://u; } }
    server { listen %s; location / { return 200 a; } }
    server { listen %s; location / { return 200 b; } }
%s}
`, bedWorkers, instance.HTTPPaths(dir), b.a, b.b, b.front, b.a, b.b, extra)
	i, err := instance.Start(t.Context(), dir, conf, b.front)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Stop)
	b.Instance, b.old = i, []byte(conf)
	waitFor(t, "the workers", func() bool { ws, err := workers(i.PID); return err == nil && len(ws) == bedWorkers })
	return b
}

func (b *bed) applier(t testing.TB) *Applier {
	t.Helper()
	return &Applier{Config: b.Config, StateDir: filepath.Join(memoryDir(t), "state"), Binary: b.Binary, Prefix: b.Dir}
}

// memoryDir is a new folder in memory where there is one, so that the many state folders of the tests cost no fsync.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "trimtab-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (b *bed) want(wa, wb int) Settings {
	return Settings{"u": {b.a: {Weight: wa}, b.b: {Weight: wb}}}
}

// text is what nginx.conf must be with the two weights; a weight of 1 for the first server is not written.
func (b *bed) text(wa, wb int) string {
	s := strings.Replace(string(b.old), "weight=2", fmt.Sprintf("weight=%d", wb), 1)
	if wa != 1 {
		s = strings.Replace(s, b.a+";", fmt.Sprintf("%s weight=%d;", b.a, wa), 1)
	}
	return s
}

func (b *bed) read(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// inForce counts one round of wa+wb requests over new connections and reports whether they fall wa to a and wb to b.
func (b *bed) inForce(t testing.TB, wa, wb int) bool {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}, Timeout: 10 * time.Second}
	var got [2]int
	for range wa + wb {
		resp, err := client.Get("http://" + b.front)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if string(body) == "a" {
			got[0]++
		} else {
			got[1]++
		}
	}
	return got == [2]int{wa, wb}
}

// passes checks that nginx -t accepts what is on the disk.
func (b *bed) passes(t testing.TB) {
	t.Helper()
	if err := (&Applier{Config: b.Config, StateDir: "/nonexistent", Binary: b.Binary,
		Prefix: b.Dir}).Test(t.Context()); err != nil {
		t.Errorf("the live configuration does not pass: %v", err)
	}
}

// leftovers lists temporary files beside the configuration.
func leftovers(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, ".trimtab-*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}
