package page

import (
	"bytes"
	"compress/gzip"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed assets
var assets embed.FS

// Options are what a page may do beside showing.
type Options struct {
	// Token is asked for the token that the buttons need; "" and an error: there is none. nil: no buttons.
	Token func() (string, error)
	// Hold makes the daemon hold or go on.
	Hold func(on bool) error
}

// policy is what the page may load: its own files and data. uPlot sets styles of elements, not by text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'"

// Handler serves the page at "/", its files below "/page/" and its data at "/page/live".
func Handler(r *Recorder, o Options) http.Handler {
	mux, tag := http.NewServeMux(), edition()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = document(w, r.Title(), nil)
	})
	for _, f := range []struct{ name, kind string }{
		{"page.js", "text/javascript; charset=utf-8"}, {"page.css", "text/css; charset=utf-8"},
		{"uplot.js", "text/javascript; charset=utf-8"}, {"uplot.css", "text/css; charset=utf-8"},
	} {
		mux.HandleFunc("GET /page/"+f.name, func(w http.ResponseWriter, req *http.Request) {
			text, err := assets.ReadFile("assets/" + f.name)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", f.kind)
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("ETag", `"`+tag+`"`)
			http.ServeContent(w, req, f.name, time.Time{}, bytes.NewReader(text))
		})
	}
	mux.HandleFunc("GET /page/live", func(w http.ResponseWriter, req *http.Request) {
		query := req.URL.Query()
		since, _ := strconv.ParseUint(query.Get("since"), 10, 64)
		step, _ := strconv.ParseUint(query.Get("step"), 10, 64) // the last that the page has
		if query.Get("run") != r.Run() {
			since, step = 0, 0 // of another process
		}
		if step > 0 && step == r.Seq() && query.Get("same") == "1" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		text := r.live(query.Get("upstream"), since)
		if text == nil {
			http.Error(w, "the state cannot be written", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !strings.Contains(req.Header.Get("Accept-Encoding"), "gzip") {
			z, err := gzip.NewReader(bytes.NewReader(text))
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = io.Copy(w, z)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(text)
	})
	b := &buttons{Options: o}
	mux.HandleFunc("POST /page/hold", b.handle)
	return mux
}

// buttons changes what a person with the token wants.
type buttons struct {
	Options
	mu   sync.Mutex
	next time.Time // before this no token is looked at
}

// wrongWait is how long after a wrong token none is looked at.
const wrongWait = time.Second

// handle takes {"hold": true} with the token in the header Authorization, which no form and no page of another origin
// can set.
func (b *buttons) handle(w http.ResponseWriter, req *http.Request) {
	fail := func(code int, format string, args ...any) { http.Error(w, fmt.Sprintf(format, args...), code) }
	if b.Token == nil || b.Hold == nil {
		fail(http.StatusForbidden, "no token is set: this page only shows")
		return
	}
	if kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		fail(http.StatusUnsupportedMediaType, "want application/json")
		return
	}
	want, err := b.Token()
	if err != nil || want == "" {
		fail(http.StatusForbidden, "the token cannot be read: this page only shows")
		return
	}
	got, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if wait := b.check(got, want); wait != "" {
		fail(http.StatusUnauthorized, "%s", wait)
		return
	}
	var order struct {
		Hold *bool `json:"hold"`
	}
	d := json.NewDecoder(io.LimitReader(req.Body, 1024))
	d.DisallowUnknownFields()
	if err := d.Decode(&order); err != nil || order.Hold == nil {
		fail(http.StatusBadRequest, `want {"hold": true} or {"hold": false}`)
		return
	}
	if err := b.Hold(*order.Hold); err != nil {
		fail(http.StatusInternalServerError, "%v", err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// check says why a token does not pass; empty: it does. After a wrong one all wait.
func (b *buttons) check(got, want string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if now.Before(b.next) {
		return "too many tries: wait a second"
	}
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		b.next = now.Add(wrongWait)
		return "the token is wrong"
	}
	return ""
}

// squeeze compresses; r.mu is held. The writer is kept: a new one takes a megabyte.
func (r *Recorder) squeeze(text []byte) []byte {
	var out bytes.Buffer
	if r.gzip == nil {
		var err error
		if r.gzip, err = gzip.NewWriterLevel(&out, gzip.BestSpeed); err != nil {
			return nil
		}
	} else {
		r.gzip.Reset(&out)
	}
	_, _ = r.gzip.Write(text)
	if r.gzip.Close() != nil {
		return nil
	}
	return out.Bytes()
}

// Run tells this process from the ones before.
func (r *Recorder) Run() string { return r.state.Run }

// Title is that of the page.
func (r *Recorder) Title() string { return r.about.Title }
