package localhttp

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits bound what a server spends on those who ask. The zero value is sound.
type Limits struct {
	Connections int           // at a time; 0: 64. More are closed at once
	Header      time.Duration // for a request to arrive, without its body; 0: 5 s
	Read        time.Duration // for all of a request; 0: 30 s
	Write       time.Duration // for a request to be answered; 0: 30 s
	Idle        time.Duration // between two requests; 0: 60 s
}

func (l Limits) connections() int {
	if l.Connections > 0 {
		return l.Connections
	}
	return 64
}

func orDefault(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

// NewServer returns a server of the handler, guarded and with limits. Serve it on a listener of Listen.
func NewServer(handler http.Handler, l Limits) *http.Server {
	return &http.Server{
		Handler:           Guard(handler),
		ReadHeaderTimeout: orDefault(l.Header, 5*time.Second),
		ReadTimeout:       orDefault(l.Read, 30*time.Second),
		WriteTimeout:      orDefault(l.Write, 30*time.Second),
		IdleTimeout:       orDefault(l.Idle, time.Minute),
		MaxHeaderBytes:    16 << 10,
	}
}

// Guard refuses requests that are not meant for this machine or that a page of another origin had a browser make.
func Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) {
			http.Error(w, "this address answers to localhost only", http.StatusForbidden)
			return
		}
		if !sameOrigin(r) {
			http.Error(w, "this address answers to no page of another origin", http.StatusForbidden)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// isLocal reports whether a host, with or without a port, is this machine.
func isLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// sameOrigin reports whether the request is made by a page of this server, or by no page at all.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return false
	}
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
	}
	return true
}
