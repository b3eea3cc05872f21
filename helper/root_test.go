package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/nginx"
)

// What answers the worker is shown as a connection: another program is told from NGINX whatever the worker says of it.
func TestHelperLooksWhoAnswers(t *testing.T) {
	i, front := frontBed(t)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	client, _ := joined(t, &Server{Settings: Settings{Root: rootOf(i), AskOrigin: true}})
	ask := func(address string, look func(net.Conn) error) error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil { // now somebody has accepted it
			return err
		}
		return look(conn)
	}
	for n, c := range []struct{ name, address, says string }{
		{"another program is refused before anything is written", strings.TrimPrefix(other.URL, "http://"),
			"the status page is not that of the NGINX that would be changed"},
		{"NGINX itself", front, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			client.Answer(nil, func(_ context.Context, look func(net.Conn) error) error { return ask(c.address, look) })
			r, err := client.ApplyFrom(t.Context(), nginx.Settings{"u": {"127.0.0.1:1": {Weight: 3 + n}}}, nil)
			if r.Changed != (c.says == "") || c.says == "" && err != nil || c.says != "" && (err == nil ||
				!strings.Contains(err.Error(), c.says)) {
				t.Errorf("a change: got %+v, %v, want %q", r, err, c.says)
			}
			err = ask(c.address, func(conn net.Conn) error { return client.Answers(t.Context(), conn) })
			if (err == nil) != (c.says == "") {
				t.Errorf("asked by itself: got %v", err)
			}
		})
	}
}

func TestHelperWatchesAndHolds(t *testing.T) {
	i := bed(t)
	root := rootOf(i)
	root.HoldFile = filepath.Join(i.Dir, "hold")
	root.SetHold = func(bool) error { return os.Remove(root.HoldFile) }
	client, done := joined(t, &Server{Settings: Settings{Root: root}})
	text, err := os.ReadFile(i.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	edits := make(chan Edit, 10)
	watched := make(chan error, 1)
	go func() { watched <- client.Watch(ctx, func(e Edit) { edits <- e }) }()
	next := func(what string) Edit {
		t.Helper()
		select {
		case e := <-edits:
			return e
		case <-time.After(time.Minute):
			t.Fatalf("waited a minute for %s", what)
			return Edit{}
		}
	}
	// The first look of the watch only remembers: it is over once a question has been answered after it began.
	for try := 0; ; try++ {
		if err := os.WriteFile(i.Config, append(text[:len(text):len(text)], fmt.Sprintf("# %d\n", try)...),
			0o644); err != nil {
			t.Fatal(err)
		}
		select {
		case e := <-edits:
			if len(e.Files) != 1 || e.Files[0] != i.Config || e.Error != "" {
				t.Errorf("got %+v, want %s", e, i.Config)
			}
		case <-time.After(time.Second):
			continue
		}
		break
	}
	if err := os.WriteFile(i.Config, []byte("http {"), 0o644); err != nil {
		t.Fatal(err)
	}
	for e := next("the broken file"); e.Error == ""; e = next("the broken file") {
	}
	if err := os.WriteFile(i.Config, text, 0o644); err != nil {
		t.Fatal(err)
	}
	next("the mended file")
	if err := os.WriteFile(root.HoldFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refusal := (*nginx.Refusal)(nil)
	if r, err := client.ApplyFrom(t.Context(), nginx.Settings{"u": {"127.0.0.1:1": {Weight: 9}}}, nil); r.Changed ||
		!errors.As(err, &refusal) || !strings.Contains(err.Error(), "hold file") {
		t.Errorf("got %+v, %v, want to be held by the helper itself", r, err)
	}
	off := false
	if held, err := client.Hold(t.Context(), nil); err != nil || !strings.Contains(held, root.HoldFile) {
		t.Errorf("is there a hold file: got %q, %v", held, err)
	}
	other := &Root{HoldFile: root.HoldFile}
	if _, err := other.Hold(t.Context(), &off); !errors.As(err, &refusal) || root.Held() == "" {
		t.Errorf("the hold file is removed without leave: got %v", err)
	}
	if held, err := client.Hold(t.Context(), &off); err != nil || held != "" || root.Held() != "" {
		t.Errorf("the page removes the hold file: got %q, %v", held, err)
	}
	client.Close()
	if err := <-watched; !errors.Is(err, ErrGone) {
		t.Errorf("watch: got %v, want %v", err, ErrGone)
	}
	if err := <-done; err != nil {
		t.Errorf("serve: got %v", err)
	}
}

// A change that the worker gives up is given up by the helper, as long as nothing has been written.
func TestChangeIsCancelled(t *testing.T) {
	i := bed(t)
	root := rootOf(i)
	slow := filepath.Join(i.Dir, "slow")
	if err := os.WriteFile(slow, []byte("#!/bin/sh\necho >"+slow+".runs\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	root.Applier.TestCommand, root.Applier.Binary = []string{slow}, i.Binary
	client, _ := joined(t, &Server{Settings: Settings{Root: root}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := os.Stat(slow + ".runs"); err == nil {
				break
			}
		}
		cancel()
	}()
	began := time.Now()
	r, err := client.ApplyFrom(ctx, nginx.Settings{"u": {"127.0.0.1:1": {Weight: 9}}}, nil)
	if r.Changed || !errors.Is(err, context.Canceled) || time.Since(began) > 5*time.Second {
		t.Errorf("got %+v, %v after %s, want %v at once", r, err, time.Since(began), context.Canceled)
	}
}
