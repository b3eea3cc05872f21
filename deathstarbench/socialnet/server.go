package socialnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"trimtab/deathstarbench"
)

// ServerConfig describes one emulated backend.
type ServerConfig struct {
	Server  deathstarbench.Server     // of a complete scenario
	Own     []deathstarbench.Workload // services beside those of the social network
	Network *Network
	Addr    string       // to listen on; empty means a free port of 127.0.0.1
	Seed    uint64       // of the service times and injected errors
	Logger  *slog.Logger // nil: silent
}

// Server is one emulated backend: a social network behind a capacity model and faults.
type Server struct {
	name    string
	network *Network
	logger  *slog.Logger
	routes  map[string]offer
	under   []prefixed // own services with a path that goes on, the longest first
	station *station
	port    *port
	late    lateness

	mu     sync.Mutex
	faults []activeFault
	nextID int
	http   *http.Server // nil while down
	done   sync.WaitGroup
	closed bool
}

// offer is a route with what this server makes of it.
type offer struct {
	route
	service draw
	delay   time.Duration
}

// StartServer starts a backend, which serves until Stop.
func StartServer(cfg ServerConfig) (*Server, error) {
	s := &Server{name: cfg.Server.Name, network: cfg.Network, logger: cfg.Logger, routes: map[string]offer{}}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	for path, r := range routes() {
		if v, ok := offered(&cfg.Server, r); ok {
			s.routes[path] = v
		}
	}
	s.offerOwn(cfg)
	var err error
	if s.port, err = reservePort(cfg.Addr); err != nil {
		return nil, fmt.Errorf("start server %s: %w", s.name, err)
	}
	if s.station, err = newStation(cfg.Server.Slots, cfg.Server.QueueLimit, cfg.Seed, nameSeed(s.name)); err != nil {
		s.port.close()
		return nil, fmt.Errorf("start server %s: %w", s.name, err)
	}
	s.done.Go(s.station.run)
	s.mu.Lock()
	err = s.up()
	s.mu.Unlock()
	if err != nil {
		s.Stop()
		return nil, fmt.Errorf("start server %s: %w", s.name, err)
	}
	return s, nil
}

// Name is the server's name in the scenario.
func (s *Server) Name() string { return s.name }

// Addr is the address that the server listens on; it is the same after a fault.
func (s *Server) Addr() string { return s.port.addr }

// Stop ends the server and cuts what is open. Calling it twice is harmless.
func (s *Server) Stop() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.down()
	s.mu.Unlock()
	s.station.close()
	s.port.close()
	s.done.Wait()
}

// up begins to listen. The caller holds mu.
func (s *Server) up() error {
	if s.http != nil || s.closed {
		return nil
	}
	listener, err := s.port.listen()
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s, ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug)}
	s.http = server
	s.done.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.logger.Error("server stopped serving", "server", s.name, "error", err)
		}
	})
	return nil
}

// down refuses connections and cuts those that are open. The caller holds mu.
func (s *Server) down() {
	if s.http == nil {
		return
	}
	_ = s.http.Close() // closes listener and connections; their errors are of no interest
	s.http = nil
	s.station.reset()
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, ok := s.route(r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method != route.method {
		w.Header().Set("Allow", route.method)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	form := r.URL.Query()
	switch {
	case route.own:
		if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxForm)); err != nil {
			write(w, text(http.StatusBadRequest, "read body: %v", err))
			return
		}
	case route.method == http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			write(w, text(http.StatusBadRequest, "read form: %v", err))
			return
		}
		form = r.PostForm
	}
	if route.workload == "" {
		write(w, route.call(r.Context(), s.network, form))
		return
	}
	t := s.station.enter(route.service, route.delay)
	var answer reply
	if t.accepted {
		answer = route.call(context.WithoutCancel(r.Context()), s.network, form)
	}
	var result outcome
	select {
	case result = <-t.done:
	case <-r.Context().Done():
		s.station.cancel(t)
		result = canceled
	}
	switch result {
	case served:
		s.late.observe(s.station.clock() - t.due)
		write(w, answer)
	case refused:
		write(w, text(http.StatusServiceUnavailable, "queue full"))
	case failed:
		write(w, text(http.StatusInternalServerError, "injected failure"))
	case shed:
		write(w, text(http.StatusTooManyRequests, "load shed"))
	default:
		panic(http.ErrAbortHandler) // cut the connection without an answer
	}
}

func write(w http.ResponseWriter, r reply) {
	h := w.Header()
	if r.json {
		h["Content-Type"] = jsonType
	} else {
		h["Content-Type"] = textType
	}
	h["Content-Length"] = []string{strconv.Itoa(len(r.body))}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // fails only when the client has gone
}

var (
	jsonType = []string{"application/json; charset=utf-8"}
	textType = []string{"text/plain; charset=utf-8"}
)

// lateness is how long after its due time the answer of a request was begun: by how much the world is slower than the
// model.
type lateness struct{ sum, max atomic.Int64 }

func (l *lateness) observe(d time.Duration) {
	l.sum.Add(int64(d))
	for {
		old := l.max.Load()
		if int64(d) <= old || l.max.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// nameSeed is the FNV-1a hash of a name: servers with one seed draw different numbers.
func nameSeed(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}
