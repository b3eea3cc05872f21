package live_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"trimtab/nginx"
	"trimtab/nginx/live"
)

func (s *site) applier() *nginx.Applier {
	return &nginx.Applier{Config: s.Config, Binary: s.Binary, Prefix: s.Dir, PIDFile: s.PIDFile()}
}

// The control call goes through when NGINX answers, over TCP and over a Unix socket.
func TestTokenIsSentToNGINX(t *testing.T) {
	for _, c := range []struct{ name, listen string }{{"TCP", ""}, {"a Unix socket", "control.sock"}} {
		t.Run(c.name, func(t *testing.T) {
			s := install(t, c.listen)
			a, err := live.New(live.Config{Address: s.plan.Live.Listen, TokenFile: s.plan.Live.TokenFile,
				Prove: s.applier().Answers})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Apply(t.Context(), nginx.Settings{"app": {s.servers[0]: {Weight: 7}}}); err != nil {
				t.Fatal(err)
			}
			if state, err := a.State(t.Context()); err != nil || state.Upstreams["app"].Servers[0].Weight != 7 {
				t.Errorf("got %+v, %v, want weight 7", state, err)
			}
		})
	}
}

// A program that listens in NGINX's place gets calls without the token only.
func TestTokenIsSentToNobodyElse(t *testing.T) {
	s := install(t, "")
	for _, c := range []struct {
		name   string
		status int
	}{{"it answers as NGINX would", http.StatusUnauthorized}, {"it answers as if the token were right",
		http.StatusOK}} {
		t.Run(c.name, func(t *testing.T) {
			var calls, tokens atomic.Int64
			thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				if r.Header.Get("Authorization") != "" {
					tokens.Add(1)
				}
				w.WriteHeader(c.status)
			}))
			defer thief.Close()
			a, err := live.New(live.Config{Address: strings.TrimPrefix(thief.URL, "http://"),
				TokenFile: s.plan.Live.TokenFile, Prove: s.applier().Answers})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.State(t.Context()); !errors.Is(err, live.ErrUnproved) {
				t.Errorf("got %v, want %v", err, live.ErrUnproved)
			}
			if calls.Load() == 0 || tokens.Load() != 0 {
				t.Errorf("got %d calls, %d of them with the token, want some and none", calls.Load(), tokens.Load())
			}
		})
	}
}

func TestProofThatFailsClosesTheConnection(t *testing.T) {
	s := install(t, "")
	var asked atomic.Int64
	a, err := live.New(live.Config{Address: s.plan.Live.Listen, TokenFile: s.plan.Live.TokenFile,
		Prove: func(context.Context, net.Conn) error { asked.Add(1); return errors.New("no") }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.State(t.Context()); !errors.Is(err, live.ErrUnproved) || asked.Load() != 1 {
		t.Errorf("got %v after %d questions, want %v after one", err, asked.Load(), live.ErrUnproved)
	}
}
