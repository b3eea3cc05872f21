package scaling_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/scaling"
)

// script is a program that is run as a hook.
func script(t *testing.T, name, text string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

// fake is a hook in memory.
type fake struct {
	units int
	lies  bool
	blind bool
	fails error
	hangs bool
	calls int
}

func (f *fake) Set(ctx context.Context, _ string, units int) error {
	f.calls++
	if f.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if f.fails == nil && !f.lies {
		f.units = units
	}
	return f.fails
}

func (f *fake) Get(context.Context, string) (int, error) {
	if f.blind {
		return 0, scaling.ErrBlind
	}
	return f.units, nil
}

func newScaler(h scaling.Hook, clock *time.Time) *scaling.Scaler {
	return &scaling.Scaler{Hook: h, Limits: map[string]control.ScalingLimits{"a": {Min: 1, Max: 5,
		CoolDown: time.Minute}},
		Timeout: 100 * time.Millisecond, Confirm: 50 * time.Millisecond, Poll: time.Millisecond,
		Clock: func() time.Time {
			return *clock
		}}
}

func TestHooksThatMisbehaveAreHeld(t *testing.T) {
	for _, c := range []struct {
		name  string
		hook  fake
		units int
		want  string // in the error; empty: none
		calls int
		rests bool
	}{
		{"one that works", fake{units: 1}, 3, "", 1, false},
		{"one that has nothing to do is not called", fake{units: 3}, 3, "", 0, false},
		{"one that is blind is believed", fake{blind: true}, 3, "", 1, false},
		{"one that fails", fake{units: 1, fails: errors.New("no quota")}, 3, "no quota", 1, true},
		{"one that hangs", fake{units: 1, hangs: true}, 3, "deadline", 1, true},
		{"one that lies", fake{units: 1, lies: true}, 3, "without effect: 3 units were asked for, and it has 1", 1,
			true},
		{"beyond its bounds it is not called", fake{units: 1}, 6, "outside 1 to 5", 0, false},
		{"nor below them", fake{units: 1}, 0, "outside 1 to 5", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := time.Unix(1e9, 0)
			h := c.hook
			s := newScaler(&h, &clock)
			err := s.Scale(t.Context(), map[string]int{"a": c.units})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if h.calls != c.calls {
				t.Errorf("the hook was called %d times, want %d", h.calls, c.calls)
			}
			if got := s.Reason("a") != ""; got != c.rests {
				t.Errorf("it rests: %t (%s), want %t", got, s.Reason("a"), c.rests)
			}
			if !c.rests {
				return
			}
			held := (*scaling.Held)(nil)
			if err := s.Scale(t.Context(), map[string]int{"a": 2}); !errors.As(err, &held) || h.calls != c.calls {
				t.Errorf("got %v after %d calls, want it held", err, h.calls)
			}
			clock = clock.Add(time.Minute + time.Second)
			h = fake{units: 1, calls: h.calls}
			if err := s.Scale(t.Context(), map[string]int{"a": 2}); err != nil {
				t.Errorf("after its rest: got %v, want it called again", err)
			}
		})
	}
}

func TestAFaultRestsLongerEachTime(t *testing.T) {
	clock := time.Unix(1e9, 0)
	h := &fake{units: 1, fails: errors.New("no")}
	s := newScaler(h, &clock)
	for _, rest := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		_ = s.Scale(t.Context(), map[string]int{"a": 2})
		calls := h.calls
		clock = clock.Add(rest - time.Second)
		_ = s.Scale(t.Context(), map[string]int{"a": 2})
		if h.calls != calls {
			t.Errorf("it was called again before %s were over", rest)
		}
		clock = clock.Add(2 * time.Second)
	}
}

func TestCoolDown(t *testing.T) {
	clock := time.Unix(1e9, 0)
	h := &fake{units: 1}
	s := newScaler(h, &clock)
	if err := s.Scale(t.Context(), map[string]int{"a": 2}); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(59 * time.Second)
	held := (*scaling.Held)(nil)
	if err := s.Scale(t.Context(), map[string]int{"a": 3}); !errors.As(err, &held) || !strings.Contains(err.Error(),
		"cools down for another 1s") {
		t.Errorf("got %v, want it to cool down for another second", err)
	}
	clock = clock.Add(time.Second)
	if err := s.Scale(t.Context(), map[string]int{"a": 3}); err != nil || h.units != 3 {
		t.Errorf("got %v with %d units, want 3", err, h.units)
	}
}

func TestAHookThatFlapsIsHeld(t *testing.T) {
	clock := time.Unix(1e9, 0)
	h := &fake{units: 1}
	s := newScaler(h, &clock)
	var err error
	for i := 0; i < 6 && err == nil; i++ {
		err = s.Scale(t.Context(), map[string]int{"a": 2 + i%2})
		h.units = 5 // somebody else has another opinion
		clock = clock.Add(2 * time.Minute)
	}
	if err == nil || !strings.Contains(err.Error(), "flaps") {
		t.Errorf("got %v, want it to be held for flapping", err)
	}
}

func TestADryRunCallsNothing(t *testing.T) {
	clock := time.Unix(1e9, 0)
	h := &fake{units: 1}
	s := newScaler(h, &clock)
	s.DryRun = true
	if err := s.Scale(t.Context(), map[string]int{"a": 2}); err == nil || h.calls != 0 {
		t.Errorf("got %v after %d calls, want it held without one", err, h.calls)
	}
}

func TestCommands(t *testing.T) {
	size := filepath.Join(t.TempDir(), "size")
	set := script(t, "set", `test "$TRIMTAB_SERVER" = "$1" && test "$TRIMTAB_UNITS" = "$2" && echo "$2" > `+size)
	get := script(t, "get", "cat "+size)
	for _, c := range []struct {
		name string
		hook scaling.Command
		want string // in the error; empty: none
	}{
		{"arguments and environment say server and units", scaling.Command{Change: set, Ask: get}, ""},
		{"what a shell would obey is an argument like any other",
			scaling.Command{Change: append(script(t, "odd", `test "$1" = '$(reboot); a' && echo "$3" > `+size),
				"$(reboot); a"), Ask: get}, ""},
		{"one that fails says why", scaling.Command{Change: script(t, "fail", "echo no quota >&2; exit 3")},
			"exit status 3: no quota"},
		{"one that hangs is ended with its children", scaling.Command{Change: script(t, "hang", "sleep 60 & sleep 60")},
			"hangs"},
		{"one that is not there", scaling.Command{Change: []string{"/nonexistent/hook"}}, "no such file"},
		{"one that babbles", scaling.Command{Change: set, Ask: script(t, "babble", "echo many")}, "want a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := 20 * time.Second
			if c.want == "hangs" {
				limit = 500 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			err := c.hook.Set(ctx, "10.0.0.1:80", 4)
			n := 0
			if err == nil {
				n, err = c.hook.Get(ctx, "10.0.0.1:80")
			}
			if c.want == "" && (err != nil || n != 4) || c.want != "" &&
				(err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %d units and %v, want 4 or %q", n, err, c.want)
			}
		})
	}
}

func TestHTTPHooks(t *testing.T) {
	var units atomic.Int64
	units.Store(1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer secret":
			http.Error(w, "who are you", http.StatusUnauthorized)
		case r.URL.Path == "/hang":
			_, _ = io.Copy(io.Discard, r.Body) // until then the server does not notice that its client has gone
			<-r.Context().Done()
		case r.URL.Path == "/away":
			http.Redirect(w, r, "/servers/a", http.StatusFound)
		case r.URL.EscapedPath() != "/servers/a%2Fb":
			http.NotFound(w, r)
		case r.Method == http.MethodPut:
			var body struct{ Slots int }
			if json.NewDecoder(r.Body).Decode(&body) != nil {
				http.Error(w, "?", http.StatusBadRequest)
				return
			}
			units.Store(int64(body.Slots))
		default:
			fmt.Fprintf(w, `{"slots": %d}`, units.Load())
		}
	}))
	t.Cleanup(server.Close)
	good := scaling.HTTP{URL: server.URL + "/servers/{server}", GetURL: server.URL + "/servers/{server}",
		Field: "slots", Token: "secret"}
	for _, c := range []struct {
		name   string
		change func(*scaling.HTTP)
		want   string
	}{
		{"a good one", func(*scaling.HTTP) {}, ""},
		{"the wrong token", func(h *scaling.HTTP) { h.Token = "" }, "status 401"},
		{"a place that is not there", func(h *scaling.HTTP) { h.URL = server.URL + "/nowhere" }, "status 404"},
		{"a redirect is not followed", func(h *scaling.HTTP) { h.URL = server.URL + "/away" }, "status 302"},
		{"one that hangs", func(h *scaling.HTTP) { h.URL = server.URL + "/hang" }, "hangs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := good
			c.change(&h)
			if err := h.Check(); err != nil {
				t.Fatal(err)
			}
			limit := 20 * time.Second
			if c.want == "hangs" {
				limit = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			err := h.Set(ctx, "a/b", 3)
			n := 0
			if err == nil {
				n, err = h.Get(ctx, "a/b")
			}
			if c.want == "" && (err != nil || n != 3) || c.want != "" &&
				(err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %d units and %v, want 3 or %q", n, err, c.want)
			}
		})
	}
	for _, url := range []string{"ftp://x/", "/servers", "http://"} {
		if (scaling.HTTP{URL: url}).Check() == nil {
			t.Errorf("%q passed as a URL", url)
		}
	}
}
