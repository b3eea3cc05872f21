package page

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"trimtab/localhttp"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
)

// ask asks a handler as the daemon serves it, for a browser on this machine unless the header says otherwise.
func ask(h http.Handler, method, path, body string, header map[string]string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, "http://127.0.0.1:9146"+path, strings.NewReader(body))
	for name, value := range header {
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	localhttp.Guard(h).ServeHTTP(w, req)
	return w
}

func TestButtonsNeedTheTokenAndNothingElseWillDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := []bool{}
		secret := "s3cret"
		o := Options{Token: func() (string, error) {
			if secret == "" {
				return "", errors.New("gone")
			}
			return secret, nil
		}, Hold: func(on bool) error { held = append(held, on); return nil }}
		h := Handler(NewRecorder(About{}), o)
		good := map[string]string{"Authorization": "Bearer s3cret", "Content-Type": "application/json"}
		with := func(more ...string) map[string]string {
			out := map[string]string{}
			for k, v := range good {
				out[k] = v
			}
			for i := 0; i+1 < len(more); i += 2 {
				out[more[i]] = more[i+1]
			}
			return out
		}
		for _, c := range []struct {
			name, method, body string
			header             map[string]string
			code               int
		}{
			{"the token", "POST", `{"hold":true}`, good, http.StatusNoContent},
			{"to go on", "POST", `{"hold":false}`, good, http.StatusNoContent},
			{"no token", "POST", `{"hold":true}`, map[string]string{"Content-Type": "application/json"},
				http.StatusUnauthorized},
			{"a wrong token", "POST", `{"hold":true}`, with("Authorization", "Bearer x"), http.StatusUnauthorized},
			{"an empty token", "POST", `{"hold":true}`, with("Authorization", "Bearer "), http.StatusUnauthorized},
			{"a link", "GET", "", good, http.StatusMethodNotAllowed},
			{"a form of any page (CSRF)", "POST", "hold=true",
				with("Content-Type", "application/x-www-form-urlencoded"), http.StatusUnsupportedMediaType},
			{"a form that looks like JSON", "POST", `{"hold":true}`, with("Content-Type", "text/plain"),
				http.StatusUnsupportedMediaType},
			{"a page of another origin", "POST", `{"hold":true}`, with("Origin", "https://evil.test"),
				http.StatusForbidden},
			{"a page of another site", "POST", `{"hold":true}`, with("Sec-Fetch-Site", "cross-site"),
				http.StatusForbidden},
			{"a name that was made to lead here (rebinding)", "POST", `{"hold":true}`, with("Host", "evil.test"),
				http.StatusForbidden},
			{"no order", "POST", `{}`, good, http.StatusBadRequest},
			{"something else", "POST", `{"hold":true,"weights":1}`, good, http.StatusBadRequest},
			{"a body without end", "POST", `{"hold":` + strings.Repeat(" ", 5000) + `true}`, good,
				http.StatusBadRequest},
		} {
			time.Sleep(2 * wrongWait) // synthetic: a wrong token makes all wait
			before := len(held)
			w := ask(h, c.method, "/page/hold", c.body, c.header)
			if w.Code != c.code {
				t.Errorf("%s: code %d, want %d: %s", c.name, w.Code, c.code, w.Body)
			}
			if ok := w.Code == http.StatusNoContent; ok != (len(held) == before+1) {
				t.Errorf("%s: %d orders carried out", c.name, len(held)-before)
			}
		}
		time.Sleep(2 * wrongWait)
		ask(h, "POST", "/page/hold", `{"hold":true}`, with("Authorization", "Bearer x"))
		if w := ask(h, "POST", "/page/hold", `{"hold":true}`, good); w.Code != http.StatusUnauthorized ||
			!strings.Contains(w.Body.String(), "wait") {
			t.Errorf("right after a wrong one: code %d: %s, want to wait", w.Code, w.Body)
		}
		time.Sleep(2 * wrongWait)
		secret = ""
		if w := ask(h, "POST", "/page/hold", `{"hold":true}`, good); w.Code != http.StatusForbidden ||
			strings.Contains(w.Body.String(), "gone") {
			t.Errorf("a token that cannot be read: code %d: %s", w.Code, w.Body)
		}
		if w := ask(Handler(NewRecorder(About{}), Options{}), "POST", "/page/hold", `{"hold":true}`,
			good); w.Code != http.StatusForbidden {
			t.Errorf("no token configured: code %d, want 403", w.Code)
		}
	})
}

func live(t *testing.T, h http.Handler, query string) (Live, int) {
	t.Helper()
	w := ask(h, "GET", "/page/live?"+query, "", map[string]string{"Accept-Encoding": "gzip"})
	var l Live
	if w.Code != http.StatusOK {
		return l, w.Code
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&l); err != nil {
		t.Fatal(err)
	}
	return l, w.Code
}

func TestLiveDataIsWhatIsNew(t *testing.T) {
	r := NewRecorder(About{Title: "x"})
	w := newWorld(r, 3, 2)
	h := Handler(r, Options{})
	if l, _ := live(t, h, ""); l.State.Status.Level != "wait" || l.Detail != nil {
		t.Errorf("before any data: got %+v", l)
	}
	for i := range 10 {
		w.step(i == 4)
	}
	first, _ := live(t, h, "")
	if first.Detail == nil || first.Detail.Key != "backend_000" || len(first.Detail.Series.T) != 10 ||
		len(first.Detail.Servers) != 2 || len(first.State.Upstreams) != 3 {
		t.Fatalf("got %+v", first.Detail)
	}
	c := first.State.Changes
	if len(c) != 1 || c[0].Expected != "expected p99 310 → 45 ms" || c[0].Measured != "measured 52 ms over 60 s" ||
		c[0].Undo == "" {
		t.Errorf("changes: got %+v", c)
	}
	_, code := live(t, h, "since=10&step=10&same=1&upstream=backend_000&run="+r.Run())
	if code != http.StatusNoContent {
		t.Errorf("nothing new: code %d, want 204", code)
	}
	w.step(false)
	next, _ := live(t, h, "since=10&step=10&same=1&upstream=backend_000&run="+r.Run())
	if s := next.Detail.Series; len(s.T) != 2 || s.From != 10 {
		t.Errorf("one step more: got %d points from %d, want the last one, which may have grown, and a new one",
			len(s.T), s.From)
	}
	other, _ := live(t, h, "since=10&upstream=backend_002&run=another")
	if s := other.Detail.Series; len(s.T) != 11 || other.Detail.Key != "backend_002" {
		t.Errorf("after a restart: got %d points of %s, want all", len(s.T), other.Detail.Key)
	}
	plain := ask(h, "GET", "/page/live", "", nil)
	if plain.Header().Get("Content-Encoding") != "" || !json.Valid(plain.Body.Bytes()) {
		t.Error("a program without gzip does not get JSON")
	}
}

func TestHistoryIsAnHourInABoundedNumberOfPoints(t *testing.T) {
	for _, c := range []struct {
		name            string
		groups, servers int
		interval        time.Duration
		steps           int
		least, most     time.Duration // that the points span
		points          int
	}{
		{"at 3 s every step is a point", 3, 3, 3 * time.Second, 4000, time.Hour, 70 * time.Minute, 1400},
		{"at 200 ms points hold many steps", 1, 2, 200 * time.Millisecond, 30_000, time.Hour, 70 * time.Minute, 1400},
		{"at 1 s two", 2, 3, time.Second, 10_000, time.Hour, 70 * time.Minute, 1400},
		{"at 5 min it is longer", 1, 2, 5 * time.Minute, 400, 5 * time.Hour, 7 * time.Hour, 70},
		{"before an hour is over it is all there is", 1, 2, time.Second, 600, 599 * time.Second, 10 * time.Minute, 600},
		{"100 upstreams of 20 servers", 100, 20, 3 * time.Second, 1600, time.Hour, 70 * time.Minute, 437},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, g := newHistory(), vts.GroupSample{}
			shares := map[string]float64{}
			for i := range c.servers {
				g.Peers = append(g.Peers, vts.PeerSample{Server: fmt.Sprint(i)})
				shares[fmt.Sprint(i)] = 1 / float64(c.servers)
			}
			for n := range c.steps {
				h.begin((time.Duration(n) * c.interval).Seconds(), 0)
				p50, p99 := 10.0, float64(n%10)
				for k := range c.groups {
					h.set(fmt.Sprint(k), &Upstream{RatePerSec: float64(20 + 20*(n%2)), P50: &p50, P99: &p99}, &g,
						shares)
				}
				if len(h.t) > c.points {
					t.Fatalf("%d points after %d steps, want at most %d", len(h.t), n+1, c.points)
				}
			}
			last := len(h.t) - 1
			if got := time.Duration((h.t[last] - h.t[0]) * 1e9).Round(time.Second); got < c.least ||
				got > c.most+c.interval {
				t.Errorf("%d points span %v, want %v to %v", len(h.t), got, c.least, c.most)
			}
			x := h.groups["0"]
			for i, s := range x.series() {
				if len(*s) != len(h.t) {
					t.Fatalf("series %d has %d of %d points", i, len(*s), len(h.t))
				}
			}
			sum, weight := 0.0, 0.0
			for i := range last {
				sum, weight = sum+float64(x.rate[i])*float64(h.steps[i]), weight+float64(h.steps[i])
				if x.p50[i] != 10 || h.steps[i] >= 10 && x.p99[i] != 9 ||
					x.shares[0][i] != float32(1/float64(c.servers)) {
					t.Fatalf("point %d of %d steps: p50 %v, p99 %v, share %v", i, h.steps[i], x.p50[i], x.p99[i],
						x.shares[0][i])
				}
			}
			if mean := sum / weight; mean < 29.5 || mean > 30.5 {
				t.Errorf("mean rate %v, want 30", mean)
			}
		})
	}
}

// A page that follows by what is new has the same as one that asks for all, also when points become fewer meanwhile.
func TestAPageThatFollowsHasWhatThereIs(t *testing.T) {
	h, g, shares := newHistory(), vts.GroupSample{Peers: []vts.PeerSample{{Server: "a"}}}, map[string]float64{"a": 1}
	from, have := uint64(0), []float64{}
	for n := range 9000 {
		h.begin(float64(n), 0)
		h.set("x", &Upstream{RatePerSec: float64(n)}, &g, shares)
		if n%7 > 0 {
			continue
		}
		since := uint64(0)
		if len(have) > 0 {
			since = from + uint64(len(have)) - 1
		}
		s := h.series("x", since)
		if s.From > from+uint64(len(have)) || s.From <= from { // as page.js has it
			from, have = s.From, nil
		}
		have = append(have[:s.From-from], s.T...)
		all := h.series("x", 0)
		if over := int(all.From) - int(from); over > 0 {
			from, have = all.From, have[over:]
		}
		if !slices.Equal(have, all.T) {
			t.Fatalf("after %d steps: the page has %d points, there are %d", n+1, len(have), len(all.T))
		}
	}
}

// Memory stays flat over an hour of 3 × 3 servers with a change in every minute and names that come and go.
func TestMemoryStaysFlat(t *testing.T) {
	r := NewRecorder(About{})
	w := newWorld(r, 3, 3)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var after uint64
	for i := range 3600 {
		w.step(i%20 == 0)
		_ = r.live("backend_000", uint64(i))
		if i == 1400 {
			after = heap()
		}
	}
	if end := heap(); end > after+1<<20 {
		t.Errorf("%d KiB more after another %d steps", (end-after)>>10, 2200)
	} else {
		t.Logf("heap %d KiB after 1,400 steps, %d KiB after 3,600", after>>10, end>>10)
	}
}

func TestClockThatJumpsDoesNotFoldTheChart(t *testing.T) {
	r := NewRecorder(About{})
	w := newWorld(r, 1, 2)
	for i := range 6 {
		if i == 3 {
			w.at = w.at.Add(-24 * time.Hour)
		}
		w.step(false)
	}
	for i := 1; i < len(r.history.t); i++ {
		if r.history.t[i] < r.history.t[i-1] {
			t.Fatalf("time runs back: %v", r.history.t)
		}
	}
}

func TestStatusSaysWhatHoldsAndWhatToDo(t *testing.T) {
	sample := &vts.Sample{Groups: []vts.GroupSample{{Name: "a"}}}
	for _, c := range []struct {
		name  string
		step  Step
		have  bool
		level string
		text  string
		todo  bool
	}{
		{"no data yet", Step{}, false, "wait", "Waiting for the status page", false},
		{"no data yet, and why", Step{Problem: "connection refused"}, false, "wait", "connection refused", true},
		{"data, and then none", Step{Problem: "timeout"}, true, "fail", "The weights stay as they are", true},
		{"a hold file", Step{Sample: sample, Held: "hold file: /x exists"}, true, "hold", "hold file: /x exists", true},
		{"nothing that may be tuned", Step{Sample: &vts.Sample{}}, true, "wait", "no upstream that may be tuned",
			false},
		{"all is well", Step{Sample: sample}, true, "ok", "Changes pass", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := status(&c.step, c.have); got.Level != c.level || !strings.Contains(got.Text, c.text) ||
				(got.Todo != "") != c.todo {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// Whatever a page of NGINX and a tuner say, the data is JSON, and in a file it does not end the script.
func TestAnyNamesAndNumbers(t *testing.T) {
	name := rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.SampledFrom([]byte("ab</script>\"'&\\\n\x00\x1b\xff\xc3\xa9 ")), 0,
			12).Draw(t, "name"))
	})
	rapid.Check(t, func(t *rapid.T) {
		r := NewRecorder(About{Title: name.Draw(t, "title")})
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			s := &vts.Sample{At: time.Now(), Interval: time.Duration(rapid.Int64Range(-1, 1e10).Draw(t, "interval"))}
			e := &tuner.Explanation{Budget: rapid.Int().Draw(t, "budget")}
			inForce := weights.Set{}
			for range rapid.IntRange(0, 3).Draw(t, "groups") {
				g := vts.GroupSample{Name: name.Draw(t, "group")}
				inForce[g.Name] = weights.Group{}
				p := tuner.PoolExplanation{Groups: []string{g.Name}, PredictedGain: rapid.Float64().Draw(t, "gain")}
				for range rapid.IntRange(0, 3).Draw(t, "servers") {
					v := vts.PeerSample{Server: name.Draw(t, "server"), Weight: rapid.IntRange(0, 100).Draw(t,
						"weight"), Requests: rapid.Uint64().Draw(t, "n"),
						ResponseMsec: rapid.Uint64().Draw(t, "ms"), BucketsMsec: []float64{1, 10},
						Buckets: []uint64{rapid.Uint64().Draw(t, "b"), rapid.Uint64().Draw(t, "c")}}
					g.Peers = append(g.Peers, v)
					inForce[g.Name][v.Server] = weights.Setting{Weight: weights.Clamp(v.Weight)}
					p.Servers = append(p.Servers, tuner.ServerExplanation{Server: v.Server,
						Slots: rapid.Float64().Draw(t, "slots"), Utilisation: rapid.Float64().Draw(t, "u"),
						CapacityPerSec: map[string]float64{g.Name: rapid.Float64().Draw(t, "cap")}})
				}
				s.Groups = append(s.Groups, g)
				e.Pools = append(e.Pools, p)
			}
			r.Step(Step{Sample: s, InForce: inForce, Operator: inForce, Explanation: e, Changed: inForce,
				Cause: CauseTuner, Reason: name.Draw(t, "reason")})
		}
		if len(r.live("", 0)) == 0 {
			t.Fatal("the state cannot be written")
		}
		var b bytes.Buffer
		if err := Write(&b, r.Data()); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(b.String(), "</script"); n != 3 {
			t.Fatalf("%d ends of scripts, want 3", n)
		}
	})
}

// What the page costs a daemon whose interval is 3 s: the step, and three browsers that ask once in it, over HTTP.
// Processor time of this process, the clients' included.
func BenchmarkThreeBrowsers(b *testing.B) {
	for _, c := range []struct {
		name            string
		groups, servers int
	}{{"3x3", 3, 3}, {"100x20", 100, 20}} {
		b.Run(c.name, func(b *testing.B) {
			r := NewRecorder(About{})
			w := newWorld(r, c.groups, c.servers)
			for range 50 {
				w.step(false)
			}
			step := r.last
			server := httptest.NewServer(localhttp.Guard(Handler(r, Options{})))
			defer server.Close()
			spent := func() float64 {
				var u unix.Rusage
				if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
					b.Fatal(err)
				}
				return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
			}
			before, n := spent(), 0
			for b.Loop() {
				n++
				w.n++
				r.Step(step)
				for i := range 3 {
					resp, err := http.Get(fmt.Sprintf("%s/page/live?upstream=backend_%03d&since=%d&run=%s",
						server.URL, i, r.history.last(), r.Run()))
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
			b.ReportMetric(100*(spent()-before)/float64(n)/3, "%core")
		})
	}
}
