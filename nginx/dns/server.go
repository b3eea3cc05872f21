package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/miekg/dns"
)

// DefaultListen is where NGINX is told to ask.
const DefaultListen = "127.0.0.1:5653"

// ServerConfig says where to answer, and from what.
type ServerConfig struct {
	Listen string // loopback IP:port; empty: DefaultListen
	Zone   string // empty: DefaultZone
	Store  Store
	// RetryPort is how long to wait before an address that is taken is tried again; 0 means 1 s.
	RetryPort time.Duration
	Logger    *slog.Logger // nil: discard
}

// Server answers NGINX's questions about upstreams.
type Server struct {
	cfg   ServerConfig
	zone  string
	log   *slog.Logger
	now   atomic.Pointer[zone] // nil: the state cannot be read
	mu    sync.Mutex
	fault error                // why nothing is answered; nil: questions are answered
	asked map[string]time.Time // label: when NGINX last asked and was answered
	up    chan struct{}        // closed once it has begun to listen
	begun func()               // closes up
}

// NewServer checks cfg; it neither reads the state nor listens.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.RetryPort == 0 {
		cfg.RetryPort = time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if _, err := loopback(cfg.Listen); err != nil {
		return nil, err
	}
	z, err := cleanZone(cfg.Zone)
	if err != nil {
		return nil, err
	}
	if cfg.Store.Path == "" {
		return nil, errors.New("DNS server: no file for its state")
	}
	up := make(chan struct{})
	return &Server{cfg: cfg, zone: z, log: cfg.Logger, fault: errNotYet, asked: map[string]time.Time{}, up: up,
		begun: sync.OnceFunc(func() { close(up) })}, nil
}

var errNotYet = errors.New("the DNS server has not begun to listen")

// loopback checks that an address can be reached from this machine alone.
func loopback(address string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return ap, fmt.Errorf("DNS server: address %q: want 127.0.0.1:port", address)
	}
	if !ap.Addr().IsLoopback() {
		return ap,
			fmt.Errorf("DNS server: address %q is not loopback: anybody could ask for the servers of every upstream",
				address)
	}
	return ap, nil
}

// Run answers until ctx ends. An address that is taken is tried again and again: the process that has it may be the one
// that this one takes over from. While the state cannot be read, every question fails, and NGINX keeps what it has.
func (s *Server) Run(ctx context.Context) error {
	s.load()
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all.Go(func() { s.watch(ctx) })
	for {
		err := s.serve(ctx)
		if ctx.Err() != nil {
			s.fail(errors.New("the DNS server has stopped"))
			return nil
		}
		if s.fail(err) {
			s.log.Error("DNS is not answered: NGINX keeps the weights it has", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(s.cfg.RetryPort):
		}
	}
}

// fail notes why nothing is answered, and reports whether that is news.
func (s *Server) fail(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := err != nil && (s.fault == nil || s.fault.Error() != err.Error())
	s.fault = err
	return news
}

// Up is closed when the server has listened for the first time.
func (s *Server) Up() <-chan struct{} { return s.up }

// Answering returns nil while questions are answered, else why not.
func (s *Server) Answering() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil && s.now.Load() == nil {
		return errors.New("the DNS state cannot be read")
	}
	return s.fault
}

// Asked returns when NGINX was last told the servers of an upstream; zero: never since the server began.
func (s *Server) Asked(upstream string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[Label(upstream)]
}

func (s *Server) askedLabel(label string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[label]
}

// serve listens and answers until ctx ends or a socket fails.
func (s *Server) serve(ctx context.Context) error {
	packets, err := net.ListenPacket("udp", s.cfg.Listen)
	if err != nil {
		return taken(ctx, s.cfg.Listen, s.zone, err)
	}
	// A group of a thousand servers asks for as many addresses at once.
	_ = packets.(*net.UDPConn).SetReadBuffer(4 << 20)
	listener, err := net.Listen("tcp", packets.LocalAddr().String())
	if err != nil {
		_ = packets.Close()
		return taken(ctx, s.cfg.Listen, s.zone, err)
	}
	servers := []*dns.Server{{PacketConn: packets, Handler: s}, {Listener: listener, Handler: s}}
	ended := make(chan error, len(servers))
	var started sync.WaitGroup
	for _, server := range servers {
		server.ReadTimeout, server.WriteTimeout = 5*time.Second, 5*time.Second
		server.MaxTCPQueries = -1
		server.MsgAcceptFunc = accept
		started.Add(1)
		server.NotifyStartedFunc = sync.OnceFunc(started.Done)
		go func() {
			ended <- server.ActivateAndServe()
			server.NotifyStartedFunc() // it may have failed before it started
		}()
	}
	started.Wait()
	if s.fail(nil); s.now.Load() != nil {
		s.log.Info("answering DNS", "address", packets.LocalAddr().String(), "zone", s.zone)
	}
	s.begun()
	left := len(servers)
	select {
	case <-ctx.Done():
	case err = <-ended:
		left--
	}
	for _, server := range servers {
		_ = server.Shutdown()
	}
	for range left {
		<-ended //nolint:errcheck // the first is what counts
	}
	if err == nil {
		err = errors.New("the DNS server has stopped")
	}
	return err
}

// accept lets questions through that answer judges; replies are dropped, so that two servers never talk to each other.
func accept(h dns.Header) dns.MsgAcceptAction {
	const response = 1 << 15
	if h.Bits&response != 0 {
		return dns.MsgIgnore
	}
	if h.Qdcount != 1 || h.Ancount > 0 || h.Nscount > 0 || h.Arcount > 2 {
		return dns.MsgReject
	}
	return dns.MsgAccept
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	from, err := netip.ParseAddrPort(w.RemoteAddr().String())
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		return
	}
	z := s.now.Load()
	if z == nil {
		m := new(dns.Msg)
		_ = w.WriteMsg(m.SetRcode(q, dns.RcodeServerFailure))
		return
	}
	m, label := z.answer(q)
	if m == nil {
		return
	}
	own := q.IsEdns0() != nil // Trimtab's own questions carry the mark of a newer resolver; NGINX's do not
	_, udp := w.LocalAddr().(*net.UDPAddr)
	fit(q, m, udp)
	if err := w.WriteMsg(m); err == nil && !own && label != "" && m.Rcode == dns.RcodeSuccess && !m.Truncated {
		s.mu.Lock()
		s.asked[label] = time.Now()
		s.mu.Unlock()
	}
}

// load reads the state and answers from it. A state that cannot be read changes nothing while the server runs.
func (s *Server) load() {
	st, err := s.cfg.Store.Read()
	if err != nil {
		s.log.Error("the DNS state cannot be read: what was answered before is answered still", "error", err)
		return
	}
	if old := s.now.Load(); old != nil && old.serial == st.Serial {
		return
	}
	s.now.Store(newZone(s.zone, fmt.Sprintf("pid=%d state=%s", os.Getpid(), s.cfg.Store.Path), st, s.askedLabel))
}

// rescan is how often the state is looked at although nobody has said that it changed.
const rescan = 500 * time.Millisecond

// watch reads the state again whenever it changes.
func (s *Server) watch(ctx context.Context) {
	tick := time.NewTicker(rescan)
	defer tick.Stop()
	dir := filepath.Dir(s.cfg.Store.Path)
	var events chan fsnotify.Event
	if w, err := fsnotify.NewWatcher(); err == nil {
		defer w.Close()
		if err := w.Add(dir); err == nil {
			events = w.Events
		}
	}
	seen := stamp(s.cfg.Store.Path)
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
		case <-tick.C:
		}
		if now := stamp(s.cfg.Store.Path); now != seen {
			seen = now
			s.load()
		}
	}
}

type fileStamp struct {
	inode, size, changed int64
}

func stamp(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{inode: inode(info), size: info.Size(), changed: info.ModTime().UnixNano()}
}

// taken says who has the address.
func taken(ctx context.Context, listen, zone string, err error) error {
	if a, asking := Ask(ctx, listen, zone); asking == nil {
		return fmt.Errorf("DNS server: %s is taken by another Trimtab (%s): %w", listen, a.About, err)
	}
	return fmt.Errorf("DNS server: %w", err)
}
