package daemon

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trimtab/orders"
	"trimtab/page"
)

// The buttons of the page do what trimtab tune --hold and --release do, with the token of the configuration and without
// it nothing.
func TestHoldFromThePage(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, log, _ := testService(t, func(c *Config) { c.PageTokenFile = token })
	h := d.routes()
	told := func() string {
		standing, err := d.session.root.Standing(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		return d.told(standing)
	}
	ask := func(token, body string) int {
		req := httptest.NewRequest("POST", "http://localhost/page/hold", strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w.Code
	}
	if code := ask("s3cret", `{"hold":true}`); code != http.StatusNoContent || !strings.HasPrefix(told(), "hold file") {
		t.Fatalf("hold: code %d, told %q", code, told())
	}
	if code := ask("s3cret", `{"hold":false}`); code != http.StatusNoContent || told() != "" {
		t.Errorf("go on: code %d, told %q", code, told())
	}
	if code := ask("other", `{"hold":true}`); code != http.StatusUnauthorized || told() != "" {
		t.Errorf("another token: code %d, told %q", code, told())
	}
	if err := os.Chmod(token, 0o644); err != nil {
		t.Fatal(err)
	}
	if code := ask("s3cret", `{"hold":true}`); code == http.StatusNoContent || told() != "" {
		t.Errorf("a token that others can read: code %d, told %q", code, told())
	}
	if !strings.Contains(log.String(), "hold file changed from the page") || strings.Contains(log.String(), "s3cret") {
		t.Errorf("log: %s", log)
	}
}

func TestOrdersInWords(t *testing.T) {
	got := ordersInWords(map[string]map[string]orders.Order{"app": {"a": {Drain: true}, "b": {Pin: 0.2},
		"c": {Ramp: 60}}}, map[string]map[string]orders.Limit{"app": {"c": {Max: 0.5}, "d": {Max: 0.5},
		"e": {Keep: true}}})
	for server, want := range map[string]string{"a": "drained", "b": "pinned", "c": "slow start", "d": "limited",
		"e": "kept"} {
		if got["app"][server] != want {
			t.Errorf("%s: got %q, want %q", server, got["app"][server], want)
		}
	}
}

// The token is needed by the page's own state too: without one there are no buttons.
func TestPageWithoutATokenOnlyShows(t *testing.T) {
	d, _, _ := testService(t, nil)
	if got := d.pageHolds(d.session); got != (page.HoldState{}) {
		t.Errorf("got %+v", got)
	}
	w := httptest.NewRecorder()
	d.routes().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("code %d, header %v", w.Code, w.Header())
	}
}
