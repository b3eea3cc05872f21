package vts

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, address, want string }{
		{"nothing to hide", "http://127.0.0.1:8081/status/format/json", "http://127.0.0.1:8081/status/format/json"},
		{"a user and a password", "https://me:s3cret@lb/status", "https://…@lb/status"},
		{"a password with an @", "https://me:s3@cret@lb/status", "https://…@lb/status"},
		{"a token in the query", "http://lb/status?token=s3cret&x=s3cret", "http://lb/status?token=…&x=…"},
		{"a fragment", "http://lb/status#s3cret", "http://lb/status"},
		{"what cannot be parsed", "http://me:s3cret@lb:port/%zz?t=s3cret", "http://…@lb:port/%zz?t=…"},
		{"a Unix socket", "http+unix:///run/n.sock:/status?t=s3cret", "http+unix:///run/n.sock:/status?t=…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := Redact(c.address); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Whatever goes wrong, no error holds the secret.
func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/html":
			w.Write([]byte("<html>"))
		case "/redirect":
			http.Redirect(w, r, "/html", http.StatusFound)
		case "/slow":
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, c := range []struct{ name, url string }{
		{"an error status", "http://me:" + secret + "@" + host + "/none?token=" + secret},
		{"no page", "http://me:" + secret + "@" + host + "/html?token=" + secret},
		{"a redirect", "http://me:" + secret + "@" + host + "/redirect?token=" + secret},
		{"a timeout", "http://me:" + secret + "@" + host + "/slow?token=" + secret},
		{"nobody there", "http://me:" + secret + "@127.0.0.1:1/?token=" + secret},
		{"an address that cannot be parsed", "http://me:" + secret + "@" + host + ":x/%zz?token=" + secret},
		{"another scheme", "ftp://me:" + secret + "@" + host + "/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := NewClient(ClientConfig{URL: c.url, Timeout: 200 * time.Millisecond})
			if err == nil {
				defer client.Close()
				_, err = client.Status(context.Background())
			}
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want an error without the secret", err)
			}
		})
	}
}
