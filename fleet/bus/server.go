package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"
)

// ServerConfig parameterises the server that a centre brings. The zero value of a field means its default.
type ServerConfig struct {
	Name   string // of this server among those of a cluster; default "centre"
	Listen string // host:port for nodes; default 127.0.0.1:4222
	Store  string // folder of the streams
	// MostStore is the most that the store may take, in bytes; default LeastStore.
	MostStore int64
	Keys      Keys
	// ClusterListen is host:port for the other servers of a cluster, and Routes are those; both empty: there are none.
	ClusterListen string
	Routes        []string
	// SyncAlways writes every message through to the disk before it is acknowledged: nothing is lost even when the
	// power fails.
	SyncAlways bool
	Logger     *slog.Logger
}

// Server is an embedded nats-server.
type Server struct {
	cfg     ServerConfig
	srv     *server.Server
	mu      sync.Mutex
	revoked map[string]bool
	clients map[uint64]string // serial number by client
	failed  atomic.Bool       // something could not be stored
}

// revokedEvery is how often the list of revoked certificates is read.
const revokedEvery = 2 * time.Second

// StartServer starts a server; Run keeps it.
func StartServer(cfg ServerConfig) (*Server, error) {
	if cfg.Name == "" {
		cfg.Name = "centre"
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:4222"
	}
	if cfg.MostStore == 0 {
		cfg.MostStore = LeastStore
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	host, port, err := hostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("start fleet server: %w", err)
	}
	id, err := cfg.Keys.Identity("centre")
	if err != nil {
		return nil, fmt.Errorf("start fleet server: %w", err)
	}
	own, err := id.TLS()
	if err != nil {
		return nil, fmt.Errorf("start fleet server: %w", err)
	}
	s := &Server{cfg: cfg, clients: map[uint64]string{}}
	if s.revoked, err = cfg.Keys.Revoked(); err != nil {
		return nil, err
	}
	open := own.Clone() // any role may connect: what it may do, check says
	open.ClientAuth, open.VerifyConnection = tls.RequireAndVerifyClientCert, nil
	o := &server.Options{ServerName: cfg.Name, Host: host, Port: port, NoSigs: true, JetStream: true,
		StoreDir:           cfg.Store,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: cfg.MostStore, MaxPayload: MostMessage, MaxPending: 32 << 20,
		WriteDeadline: 5 * time.Second,
		TLS:           true, TLSVerify: true, TLSConfig: open, TLSTimeout: 10, AuthTimeout: 12, MaxControlLine: 4096,
		CustomClientAuthentication: s,
		PingInterval:               10 * time.Second, MaxPingsOut: 2, SyncAlways: cfg.SyncAlways}
	if cfg.ClusterListen != "" {
		if err := s.cluster(o, own); err != nil {
			return nil, err
		}
	}
	if s.srv, err = server.NewServer(o); err != nil {
		return nil, fmt.Errorf("start fleet server: %w", err)
	}
	s.srv.SetLoggerV2(natsLog{cfg.Logger, &s.failed}, false, false, false)
	s.srv.Start()
	if !s.srv.ReadyForConnections(20 * time.Second) {
		s.srv.Shutdown()
		return nil, fmt.Errorf("start fleet server: it does not listen on %s", cfg.Listen)
	}
	return s, nil
}

func (s *Server) cluster(o *server.Options, own *tls.Config) error {
	host, port, err := hostPort(s.cfg.ClusterListen)
	if err != nil {
		return fmt.Errorf("start fleet server: cluster: %w", err)
	}
	route := own.Clone() // centres only, on either side
	route.ClientAuth = tls.RequireAndVerifyClientCert
	o.Cluster = server.ClusterOpts{Name: "trimtab", Host: host, Port: port, TLSConfig: route, TLSTimeout: 10,
		PoolSize: 1}
	for _, r := range s.cfg.Routes {
		u, err := url.Parse(r)
		if err != nil || u.Host == "" {
			return fmt.Errorf("start fleet server: route %q: want nats-route://host:port", r)
		}
		o.Routes = append(o.Routes, u)
	}
	return nil
}

func hostPort(address string) (string, int, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%q: want host:port", address)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 0 || n > 65535 {
		return "", 0, fmt.Errorf("%q: want a port", address)
	}
	if n == 0 {
		n = server.RANDOM_PORT
	}
	return host, n, nil
}

// URL is where clients on this machine reach the server.
func (s *Server) URL() string { return s.srv.ClientURL() }

// Healthy says what is wrong with the store; nil: nothing.
func (s *Server) Healthy() error {
	if !s.srv.JetStreamEnabled() {
		return errors.New("the store is switched off: is its disk full?")
	}
	if s.failed.Load() {
		return errors.New("the store cannot be written: is its disk full?")
	}
	return nil
}

// Check implements server.Authentication: the certificate says who a client is, and that what it may do.
func (s *Server) Check(c server.ClientAuthentication) bool {
	state := c.GetTLSConnectionState()
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	cert := state.PeerCertificates[0]
	name, role := identityOf(cert)
	serial := fmt.Sprintf("%x", cert.SerialNumber)
	s.mu.Lock()
	revoked := s.revoked[serial]
	if !revoked {
		s.clients[c.GetID()] = serial
	}
	s.mu.Unlock()
	if revoked || role != NodeRole && role != CentreRole && role != ViewRole {
		s.cfg.Logger.Warn("client refused", "name", name, "role", string(role), "revoked", revoked)
		return false
	}
	c.RegisterUser(&server.User{Username: string(role) + "/" + name, Permissions: Permissions(name, role)})
	return true
}

// Run keeps the server until ctx ends: it reads which certificates are revoked, cuts their clients off, and brings the
// store back when its disk has room again.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(revokedEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.Close()
			return nil
		case <-tick.C:
			s.Step()
		}
	}
}

// Step is one look at the list of revoked certificates and at the store.
func (s *Server) Step() {
	if revoked, err := s.cfg.Keys.Revoked(); err != nil {
		s.cfg.Logger.Error("revoked certificates not read", "error", err)
	} else {
		s.cut(revoked)
	}
	s.mend()
}

// leastFree is how much room the disk must have before a store that failed is tried again.
const leastFree = 8 << 20

// mend opens a store again that could not write: a stream that once failed to does not try again by itself.
func (s *Server) mend() {
	if s.srv.JetStreamEnabled() && !s.failed.Load() {
		return
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(s.cfg.Store, &disk); err != nil || disk.Bavail*uint64(disk.Bsize) < leastFree {
		return
	}
	s.failed.Store(false)
	if s.srv.JetStreamEnabled() {
		if err := s.srv.DisableJetStream(); err != nil {
			s.cfg.Logger.Warn("the store is not closed", "error", err)
		}
	}
	if err := s.srv.EnableJetStream(&server.JetStreamConfig{MaxMemory: 64 << 20, MaxStore: s.cfg.MostStore,
		StoreDir: s.cfg.Store}); err != nil {
		s.failed.Store(true)
		s.cfg.Logger.Warn("the store stays switched off", "error", err)
		return
	}
	s.cfg.Logger.Info("the store is opened again")
}

func (s *Server) cut(revoked map[string]bool) {
	s.mu.Lock()
	s.revoked = revoked
	var gone []uint64
	for id, serial := range s.clients {
		if revoked[serial] {
			gone = append(gone, id)
		}
		if s.srv.GetClient(id) == nil {
			delete(s.clients, id)
		}
	}
	s.mu.Unlock()
	for _, id := range gone {
		if err := s.srv.DisconnectClientByID(id); err == nil {
			s.cfg.Logger.Warn("client with a revoked certificate cut off", "client", id)
		}
	}
}

// Close stops the server and waits until it has stopped.
func (s *Server) Close() {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
}

// natsLog hands the server's log on, and notices there what the server tells nobody else: that a message could not be
// stored.
type natsLog struct {
	log    *slog.Logger
	failed *atomic.Bool
}

func (l natsLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l natsLog) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l natsLog) Fatalf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l natsLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if strings.Contains(text, "failed to store a msg") || strings.Contains(text, "no space left") ||
		strings.Contains(text, "out of space") {
		if l.failed.Swap(true) {
			return // said already
		}
	}
	l.log.Error(text)
}
func (l natsLog) Debugf(string, ...any) {}
func (l natsLog) Tracef(string, ...any) {}
