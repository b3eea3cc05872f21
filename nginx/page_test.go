package nginx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"trimtab/vts"
)

// A page that another program serves is not believed, however well it fits the configuration; nothing is changed then.
func TestWhoseStatusPageItIs(t *testing.T) {
	b := newBed(t, "")
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "{}")
	}))
	defer foreign.Close()
	for _, c := range []struct {
		name, url string
		refused   string // what is said; empty: the change is made
	}{
		{"NGINX's own", "http://" + b.front + "/", ""},
		{"another program's", foreign.URL, "is not that of the NGINX that would be changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := vts.NewClient(vts.ClientConfig{URL: c.url, FreshConnections: true})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			a := b.applier(t)
			a.Status, a.Origin = (&page{bed: b}).status, client.Origin
			_, err = a.Apply(t.Context(), b.want(3, 5))
			if c.refused == "" {
				if err != nil || b.read(t) != b.text(3, 5) {
					t.Fatalf("got %v and\n%s", err, b.read(t))
				}
				return
			}
			if refusal := (*Refusal)(nil); !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("got %v, want a refusal: %s", err, c.refused)
			}
		})
	}
}

func TestAnswersIsAboutOneConnection(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	client, err := vts.NewClient(vts.ClientConfig{URL: "http://" + b.front + "/", FreshConnections: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	err = client.Origin(t.Context(), func(conn net.Conn) error { return a.Answers(t.Context(), conn) })
	if err != nil {
		t.Errorf("got %v for a connection to NGINX, want none", err)
	}
	gone := b.applier(t)
	gone.PIDFile = "/nonexistent"
	err = client.Origin(context.Background(), func(conn net.Conn) error { return gone.Answers(t.Context(), conn) })
	if !errors.Is(err, ErrNoMaster) {
		t.Errorf("got %v without a master, want %v", err, ErrNoMaster)
	}
}
