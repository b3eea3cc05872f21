package browse

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Browser is a Chromium with one tab. What it complains of is collected.
type Browser struct {
	ctx    context.Context
	mu     sync.Mutex
	faults []string
}

// New starts one, for as long as the test lasts. Without Chromium the test is skipped.
func New(t *testing.T) *Browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium: scripts/setup-watch.sh installs Debian's")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WSURLReadTimeout(time.Minute))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc)
	ctx, over := context.WithTimeout(ctx, 10*time.Minute)
	b := &Browser{ctx: ctx}
	t.Cleanup(func() { over(); cancel(); stop() })
	err := chromedp.Listen(ctx, func(event any) {
		var fault string
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			fault = fmt.Sprintf("exception: %s %s:%d", e.ExceptionDetails.Text, e.ExceptionDetails.URL,
				e.ExceptionDetails.LineNumber)
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				fault = fmt.Sprintf("console: %s %v", e.Type, e.Args)
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				fault = "log: " + e.Entry.Text + " " + e.Entry.URL
			}
		case *page.EventJavascriptDialogOpening:
			fault = "a dialog opened: " + e.Message
			// Until it is closed the page stands still, and with it the test. Listeners must not wait.
			go func() {
				_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog,
					page.HandleJavaScriptDialogParams{Accept: true})
			}()
		}
		if fault != "" {
			b.mu.Lock()
			b.faults = append(b.faults, fault)
			b.mu.Unlock()
		}
	})
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, page.Enable, page.EnableParams{})
	}
	if err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return b
}

// Run carries out actions.
func (b *Browser) Run(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// Eval returns what an expression is in the page.
func Eval[T any](t *testing.T, b *Browser, expression string) T {
	t.Helper()
	return Get(t, b, chromedp.Evaluate[T](expression))
}

// Get runs an action that returns something.
func Get[T any](t *testing.T, b *Browser, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Call runs a command of the protocol.
func Call[P, R any](t *testing.T, b *Browser, c cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(b.ctx, c, params); err != nil {
		t.Fatal(err)
	}
}

// Await waits until an expression is true in the page.
func (b *Browser) Await(t *testing.T, what, expression string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if Eval[bool](t, b, expression) {
			return
		}
		if time.Now().After(deadline) {
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText.slice(0, 2000)"))
			t.Fatalf("%s: not within two minutes; the page shows:\n%s\n%v", what, text, b.Faults())
		}
		b.Run(t, chromedp.Sleep(50*time.Millisecond))
	}
}

// Excuse forgets complaints in which one of the texts is: those that a test has provoked.
func (b *Browser) Excuse(texts ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = slices.DeleteFunc(b.faults, func(fault string) bool {
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(fault, text) })
	})
}

// ExcuseStop forgets complaints about a server that was stopped.
func (b *Browser) ExcuseStop() {
	b.Excuse("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
}

// Faults are the complaints so far.
func (b *Browser) Faults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.faults)
}

// Faultless fails the test if the browser has complained.
func (b *Browser) Faultless(t *testing.T) {
	t.Helper()
	if faults := b.Faults(); len(faults) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(faults, "\n"))
	}
}

// Size is a window, light or dark.
func (b *Browser) Size(t *testing.T, width, height int64, dark bool) {
	t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.Run(t, chromedp.EmulateViewport(width, height))
	Call(t, b, emulation.SetEmulatedMedia,
		emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme",
			Value: scheme}}})
}

// Picture keeps a screenshot where TRIMTAB_SCREENSHOTS says.
func (b *Browser) Picture(t *testing.T, name string) {
	t.Helper()
	if os.Getenv("TRIMTAB_SCREENSHOTS") == "" {
		return
	}
	b.Run(t, chromedp.Sleep(300*time.Millisecond))
	b.Keep(t, name+".png", Get(t, b, chromedp.FullScreenshot(100)))
}

// Keep writes a file where TRIMTAB_SCREENSHOTS says.
func (b *Browser) Keep(t *testing.T, name string, data []byte) {
	t.Helper()
	dir := os.Getenv("TRIMTAB_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}
