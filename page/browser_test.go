package page

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"trimtab/localhttp"
	"trimtab/page/browse"
)

// site serves a handler on loopback as the daemon does, at an address that can be stopped and started again.
type site struct {
	address string
	server  *http.Server
}

func serve(t *testing.T, address string, h http.Handler) *site {
	t.Helper()
	l, err := localhttp.Listen(t.Context(), address, localhttp.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{address: l.Addr().String(), server: localhttp.NewServer(h, localhttp.Limits{})}
	go func() { _ = s.server.Serve(l) }()
	t.Cleanup(func() { s.server.Close() })
	return s
}

// hook records layout shifts from the first moment on, and what moved.
const hook = `window.__shift = 0; window.__moved = [];
new PerformanceObserver((l) => { for (const e of l.getEntries()) if (!e.hadRecentInput) {
  window.__shift += e.value;
  for (const s of e.sources) window.__moved.push((s.node && (s.node.id || s.node.nodeName)) +
    " from " + s.previousRect.y + " to " + s.currentRect.y);
} }).observe({ type: "layout-shift", buffered: true });`

func TestPageInABrowser(t *testing.T) {
	b := browse.New(t)
	r := NewRecorder(About{Title: "Trimtab on host", Host: "host", Version: "v1", Target: "/etc/nginx/nginx.conf"})
	w := newWorld(r, 100, 20)
	for i := range 60 {
		w.step(i == 30)
	}
	w.backdate()
	s := serve(t, "127.0.0.1:0", Handler(r, Options{}))
	b.Size(t, 1200, 900, false)
	browse.Call(t, b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: hook})
	b.Run(t, chromedp.Navigate("http://"+s.address+"/"))
	b.Await(t, "the upstreams",
		`document.querySelectorAll("#groups tbody tr").length === 100 &&
		 document.querySelectorAll("#servers tbody tr").length === 20 &&
		 document.querySelectorAll(".plot canvas").length === 4`)
	t.Run("it loads in less than a second", func(t *testing.T) { loadsWithin(t, b, s, 1000) })
	t.Run("it updates", func(t *testing.T) {
		before := browse.Eval[string](t, b, `document.querySelector("#change-list").innerText`)
		points := browse.Eval[int](t, b, `document.querySelectorAll("#change-list li").length`)
		b.Run(t, chromedp.Click(`#groups tbody tr:nth-child(3) button`))
		b.Await(t, "another upstream", `document.querySelector("#detail-name").textContent === "backend_002"`)
		b.Run(t, chromedp.Click(`#groups tbody tr:nth-child(1) button`))
		w.inForce[w.names[0]] = maps.Clone(w.started[w.names[0]])
		w.step(true)
		b.Await(t, "a change", fmt.Sprintf(`document.querySelectorAll("#change-list li").length > %d`, points))
		if after := browse.Eval[string](t, b, `document.querySelector("#change-list").innerText`); after == before {
			t.Error("the list of changes stays as it was")
		}
	})
	if shift := browse.Eval[float64](t, b, "window.__shift"); shift > 0.01 {
		t.Errorf("the layout shifted by %v, want at most 0.01: %v", shift, browse.Eval[[]string](t, b, "window.__moved"))
	} else {
		t.Logf("the layout shifted by %v", shift)
	}
	t.Run("it survives a restart of the daemon", func(t *testing.T) {
		s.server.Close()
		b.Await(t, "the page says that nobody answers",
			`document.querySelector("#fresh").textContent.includes("does not answer")`)
		next := NewRecorder(About{Title: "Trimtab on host", Host: "host", Version: "v1"})
		w := newWorld(next, 3, 3, "after the restart")
		for range 5 {
			w.step(false)
		}
		serve(t, s.address, Handler(next, Options{}))
		b.Await(t, "the new daemon",
			`document.querySelectorAll("#groups tbody tr").length === 3 &&
			 document.querySelector("#groups button").textContent === "after the restart"`)
		b.ExcuseStop()
	})
	b.Faultless(t)
}

// loadsWithin loads the page until it has its data within so many ms. A machine on which even an empty page takes a
// tenth of that is too busy to tell.
func loadsWithin(t *testing.T, b *browse.Browser, s *site, most float64) {
	t.Helper()
	const tries = 5
	best, idle := math.Inf(1), 0
	for range tries {
		b.Run(t, chromedp.Navigate("data:text/html,<title>empty</title>"))
		empty := browse.Eval[float64](t, b, `performance.getEntriesByType("navigation")[0].loadEventEnd`)
		b.Run(t, chromedp.Navigate("http://"+s.address+"/"))
		b.Await(t, "the data", `document.querySelectorAll("#servers tbody tr").length === 20`)
		loaded := browse.Eval[float64](t, b, `performance.getEntriesByType("resource").
			filter((e) => e.name.includes("/page/live"))[0].responseEnd`)
		t.Logf("data there %.0f ms after the start of the navigation, an empty page %.0f ms", loaded, empty)
		if best = min(best, loaded); best <= most {
			return
		}
		if empty < most/10 {
			idle++
		}
	}
	if idle > tries/2 {
		t.Errorf("loaded in %.0f ms at best, want %.0f", best, most)
	}
}

func TestPageWithHostileNames(t *testing.T) {
	b := browse.New(t)
	r := NewRecorder(About{Title: "<script>alert(1)</script>", Host: "<b>h</b>", Version: "v1"})
	w := newWorld(r, 8, 3, hostile()...)
	for i := range 5 {
		w.step(i == 2)
	}
	r.Step(Step{Sample: nil, Problem: "read <img src=x onerror=alert(1)>: \x1b[31m",
		LeftOut: []string{"<script>alert(2)</script>"}, Interval: time.Second})
	s := serve(t, "127.0.0.1:0", Handler(r, Options{}))
	var file bytes.Buffer
	d := r.Data()
	d.Report = &Report{Title: "<script>alert(3)</script>", Headline: "</script><script>alert(4)</script>",
		Tables: []Table{{Caption: "<i>", Head: []string{"<b>"}, Rows: [][]string{{"<script>"}}}}}
	if err := Write(&file, d); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, url string }{{"the live page", "http://" + s.address + "/"},
		{"the file", "file://" + path}} {
		t.Run(c.name, func(t *testing.T) {
			b.Size(t, 400, 800, false)
			b.Run(t, chromedp.Navigate(c.url))
			b.Await(t, "the upstreams", `document.querySelectorAll("#groups tbody tr").length === 8`)
			if n := browse.Eval[int](t, b,
				`document.querySelectorAll("main script, main img, main b.x").length`); n != 0 {
				t.Errorf("%d elements came out of names", n)
			}
			names := browse.Eval[[]string](t, b,
				`[...document.querySelectorAll("#groups button")].map((e) => e.textContent)`)
			text := strings.Join(names, "\n")
			for _, want := range []string{"<script>alert(1)</script>", `\u001b[31mred`, `\xff\xfe`, "a&b"} {
				if !strings.Contains(text, want) {
					t.Errorf("names: got %q, want %q among them", text, want)
				}
			}
			if wide := browse.Eval[int](t, b, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
				t.Errorf("%d pixels wider than the window", wide)
			}
			if title := browse.Eval[string](t, b, "document.title"); title == "owned" {
				t.Error("a name has run")
			}
		})
	}
	b.Faultless(t)
}

func TestPageAtManySizes(t *testing.T) {
	b := browse.New(t)
	r := NewRecorder(About{Title: "Trimtab on proxy-1", Host: "proxy-1", Version: "v1.4.0",
		Target: "/etc/nginx/nginx.conf", NGINX: "1.30.6"})
	w := newWorld(r, 3, 3, "compose_backend", "home_read_backend", "user_read_backend")
	r.Proof(&Proof{Headline: "nothing can be said yet: 2 of at least 5 pairs are complete",
		Progress: "pair 3 of at most 15, first block on tuned weights: 240 of 600 s measured", Running: true})
	r.Holds(HoldState{Possible: true})
	for i := range 60 {
		w.step(i == 30)
	}
	w.backdate()
	token := Options{Token: func() (string, error) { return "secret", nil }, Hold: func(bool) error { return nil }}
	s := serve(t, "127.0.0.1:0", Handler(r, token))
	for _, width := range []int64{360, 400, 1200, 2400, 3840} {
		for _, dark := range []bool{false, true} {
			name := fmt.Sprintf("page-%d-%s", width, map[bool]string{false: "light", true: "dark"}[dark])
			t.Run(name, func(t *testing.T) {
				b.Size(t, width, 900, dark)
				b.Run(t, chromedp.Navigate("http://"+s.address+"/"))
				b.Await(t, "the charts", `document.querySelectorAll(".plot canvas").length === 4`)
				if wide := browse.Eval[int](t, b, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
					t.Errorf("%d pixels wider than the window", wide)
				}
				if cut := browse.Eval[int](t, b, cutOff); width >= 1200 && cut > 0 {
					t.Errorf("a table is cut off by %d pixels", cut)
				}
				if low := browse.Eval[float64](t, b, contrast); low < 4.5 {
					t.Errorf("text has a contrast of %.2f, want at least 4.5", low)
				}
				b.Picture(t, name)
			})
		}
	}
	t.Run("by keyboard", func(t *testing.T) {
		b.Size(t, 1200, 900, false)
		b.Run(t, chromedp.Navigate("http://"+s.address+"/"))
		b.Await(t, "the charts", `document.querySelectorAll(".plot canvas").length === 4`)
		seen := map[string]bool{}
		for range 16 {
			b.Run(t, chromedp.KeyEvent("\t"))
			seen[browse.Eval[string](t, b,
				`document.activeElement.id || document.activeElement.textContent.slice(0, 20)`)] = true
		}
		for _, want := range []string{"filter", "compose_backend", "home_read_backend", "token"} {
			if !seen[want] {
				t.Errorf("the tabulator does not reach %s: %v", want, seen)
			}
		}
		b.Run(t, chromedp.Focus(`#groups tbody tr:nth-child(2) button`), chromedp.KeyEvent("\r"))
		b.Await(t, "Enter chooses", `document.querySelector("#detail-name").textContent === "home_read_backend"`)
	})
	t.Run("in print", func(t *testing.T) {
		browse.Call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
		if shown := browse.Eval[bool](t, b,
			`getComputedStyle(document.querySelector("#hold")).display !== "none"`); shown {
			t.Error("buttons are printed")
		}
		b.Run(t, chromedp.EmulateViewport(718, 1000)) // A4 without margins
		if cut := browse.Eval[int](t, b, cutOff); cut > 0 {
			t.Errorf("a table or a chart is cut off by %d pixels", cut)
		}
		pdf := browse.Get(t, b, chromedp.PrintToPDF())
		if len(pdf) < 10_000 {
			t.Errorf("a PDF of %d bytes", len(pdf))
		}
		b.Keep(t, "page.pdf", pdf)
	})
	b.Faultless(t)
}

// cutOff is by how many pixels a table or a chart is wider than what it is in.
const cutOff = `Math.max(...[...document.querySelectorAll(".wide, .plot")].map((e) => e.scrollWidth - e.clientWidth))`

// contrast is the lowest ratio of text and paper by WCAG 2 among the elements that hold text.
const contrast = `(() => {
  const lum = (c) => {
    const v = c.map((x) => { x /= 255; return x <= 0.03928 ? x / 12.92 : Math.pow((x + 0.055) / 1.055, 2.4); });
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2];
  };
  const parse = (s) => {
    const m = s.match(/[\d.]+/g).map(Number);
    return { rgb: m.slice(0, 3), a: m.length > 3 ? m[3] : 1 };
  };
  const paper = matchMedia("(prefers-color-scheme: dark)").matches ? [13, 17, 23] : [255, 255, 255];
  let low = 99;
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.offsetParent ||
      e.disabled || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(e.tagName)) continue;
    let p = e, back = null;
    while (p && !back) {
      const c = parse(getComputedStyle(p).backgroundColor);
      if (c.a === 1) back = c.rgb;
      p = p.parentElement;
    }
    const a = lum(parse(getComputedStyle(e).color).rgb), z = lum(back || paper);
    low = Math.min(low, (Math.max(a, z) + 0.05) / (Math.min(a, z) + 0.05));
  }
  return low;
})()`

func TestPageOfTenThousandServers(t *testing.T) {
	b := browse.New(t)
	r := NewRecorder(About{Title: "Trimtab", Version: "v1"})
	w := newWorld(r, 1, 10_000)
	for i := range 3 {
		w.step(i == 1)
	}
	s := serve(t, "127.0.0.1:0", Handler(r, Options{}))
	b.Size(t, 1200, 900, false)
	b.Run(t, chromedp.Navigate("http://"+s.address+"/"))
	b.Await(t, "the largest servers",
		`document.querySelectorAll("#servers tbody tr").length === 500 &&
		 document.querySelector("#more-servers").textContent.includes("9500")`)
	b.Faultless(t)
}

func TestPageWithoutDataSaysWhatItWaitsFor(t *testing.T) {
	b := browse.New(t)
	r := NewRecorder(About{Title: "Trimtab", Version: "v1"})
	s := serve(t, "127.0.0.1:0", Handler(r, Options{}))
	b.Size(t, 400, 800, true)
	b.Run(t, chromedp.Navigate("http://"+s.address+"/"))
	b.Await(t, "what it waits for",
		`document.querySelector("#status-text").textContent.includes("Waiting for the first status page")`)
	r.Step(Step{Problem: "connection refused", Interval: time.Second})
	b.Await(t, "why it waits",
		`document.querySelector("#status-text").textContent.includes("connection refused") &&
		 document.querySelector("#status-todo").textContent.includes("trimtab nginx check")`)
	b.Faultless(t)
}

func TestButtonsInABrowser(t *testing.T) {
	b := browse.New(t)
	r := NewRecorder(About{Title: "Trimtab", Version: "v1"})
	held := make(chan bool, 2)
	r.Holds(HoldState{Possible: true})
	newWorld(r, 1, 2).step(false)
	s := serve(t, "127.0.0.1:0", Handler(r, Options{Token: func() (string, error) { return "secret", nil },
		Hold: func(on bool) error {
			r.Holds(HoldState{Possible: true, Held: on})
			held <- on
			return nil
		}}))
	b.Size(t, 1200, 900, false)
	b.Run(t, chromedp.Navigate("http://"+s.address+"/"))
	b.Await(t, "the buttons", `!document.querySelector("#hold").hidden`)
	b.Run(t, chromedp.SendKeys("#token", "secret"), chromedp.Click("#hold-on"))
	b.Await(t, "the hold", `document.querySelector("#hold-said").textContent === "Held."`)
	if on := <-held; !on {
		t.Error("the hold was not asked for")
	}
	b.Faultless(t)
	b.Run(t, chromedp.SetValue("#token", "wrong"))
	browse.Eval[bool](t, b, `document.querySelector("#hold-off").disabled = false`)
	b.Run(t, chromedp.Click("#hold-off"))
	b.Await(t, "the refusal", `document.querySelector("#hold-said").textContent === "the token is wrong"`)
	select {
	case <-held:
		t.Error("a wrong token passed")
	default:
	}
}
