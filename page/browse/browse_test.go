package browse

import (
	"bytes"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// pages serves one page for each path; whatever else is asked for is not there.
func pages(t *testing.T, bodies map[string]string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := bodies[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><html lang="en"><title>t</title><link rel="icon" href="data:,">`, body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestBrowserCollectsWhatAPageComplainsOf(t *testing.T) {
	const done = `<script>document.title = "done"</script>`
	cases := []struct {
		name, path, body string
		want             string // in the complaint; empty: there is none
	}{
		{"a page that is in order", "/good", `<script>console.log("x")</script>` + done, ""},
		{"an exception", "/throws", `<script>setTimeout(() => { throw new Error("boom") })</script>` + done,
			"exception"},
		{"an error that is logged", "/error", `<script>console.error("x")</script>` + done, "console: error"},
		{"a warning that is logged", "/warning", `<script>console.warn("x")</script>` + done, "console: warning"},
		{"a file that is not there", "/missing", `<img alt="" src="/none.png">` + done, "/none.png"},
		{"a dialog", "/dialog", `<script>setTimeout(() => alert("hello"))</script>` + done, "a dialog opened: hello"},
	}
	bodies := map[string]string{}
	for _, c := range cases {
		bodies[c.path] = c.body
	}
	b, url := New(t), pages(t, bodies)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b.Excuse("") // what came before
			b.Run(t, chromedp.Navigate(url+c.path))
			complains := func() bool {
				return slices.ContainsFunc(b.Faults(), func(f string) bool { return strings.Contains(f, c.want) })
			}
			if c.want == "" {
				b.Await(t, "the page", `document.title === "done"`)
				b.Faultless(t)
				return
			}
			for deadline := time.Now().Add(time.Minute); !complains(); {
				if time.Now().After(deadline) {
					t.Fatalf("got %q, want a complaint with %q", b.Faults(), c.want)
				}
				<-time.After(10 * time.Millisecond)
			}
			b.Await(t, "the page, which goes on", `document.title === "done"`)
			b.Excuse("another text")
			if !complains() {
				t.Error("a complaint is excused by a text that is not in it")
			}
			b.Excuse(c.want)
			if complains() {
				t.Errorf("got %q after that was excused", b.Faults())
			}
		})
	}
}

func TestBrowserLooksAtAPage(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TRIMTAB_SCREENSHOTS", dir)
	b := New(t)
	url := pages(t, map[string]string{"/": `<meta name="viewport" content="width=device-width">
<div style="height: 1500px">tall</div><script>setTimeout(() => { document.title = "later" }, 200)</script>`})
	for _, c := range []struct {
		name          string
		width, height int64
		dark          bool
	}{{"a telephone, dark", 400, 800, true}, {"a window, light", 1200, 900, false}} {
		t.Run(c.name, func(t *testing.T) {
			b.Size(t, c.width, c.height, c.dark)
			b.Run(t, chromedp.Navigate(url+"/"))
			b.Await(t, "what comes later", `document.title === "later"`)
			if w := Eval[int64](t, b, "innerWidth"); w != c.width {
				t.Errorf("a window of %d pixels, want %d", w, c.width)
			}
			if dark := Eval[bool](t, b, `matchMedia("(prefers-color-scheme: dark)").matches`); dark != c.dark {
				t.Errorf("dark: got %t, want %t", dark, c.dark)
			}
			b.Picture(t, c.name)
			text, err := os.ReadFile(filepath.Join(dir, c.name+".png"))
			if err != nil {
				t.Fatal(err)
			}
			picture, err := png.DecodeConfig(bytes.NewReader(text))
			if err != nil || picture.Width != int(c.width) || picture.Height < 1500 {
				t.Errorf("a picture of %d × %d pixels, %v, want %d, and all of the page", picture.Width, picture.Height,
					err, c.width)
			}
		})
	}
	b.Faultless(t)
}
