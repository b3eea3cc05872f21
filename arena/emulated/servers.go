package emulated

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The headers of a request and of its answer.
const (
	normalHeader  = "X-Normal"
	serviceHeader = "X-Service"
)

// headerTimeout ends connections that say nothing.
const headerTimeout = 10 * time.Second

// Servers are HTTP servers on ports of loopback that were free.
type Servers struct {
	addresses []string
	servers   []*http.Server
	done      sync.WaitGroup
}

// Start serves each of the handlers.
func Start(handlers ...http.Handler) (*Servers, error) {
	s := &Servers{}
	for i, h := range handlers {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start server %d: %w", i, err), s.Close())
		}
		srv := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout}
		s.addresses, s.servers = append(s.addresses, l.Addr().String()), append(s.servers, srv)
		s.done.Go(func() { _ = srv.Serve(l) }) // ends by Close
	}
	return s, nil
}

// URL is where the i-th handler serves, without a slash at the end.
func (s *Servers) URL(i int) string { return "http://" + s.addresses[i] }

// Close stops the servers.
func (s *Servers) Close() error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Close())
	}
	s.done.Wait()
	return errors.Join(errs...)
}

// Serve answers a request: it waits at the gate, and then as long as service says, in s of the world, of which one
// takes so many seconds here (scale). Service is asked when the request is let in.
func Serve(rw http.ResponseWriter, r *http.Request, gate *Gate, scale float64, service func(normal float64) float64) {
	normal, err := strconv.ParseFloat(r.Header.Get(normalHeader), 64)
	if err != nil {
		http.Error(rw, "want a number in "+normalHeader, http.StatusBadRequest)
		return
	}
	// The body is read to its end, so that the server notices a client that goes away.
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	if !gate.Enter(r.Context()) {
		return
	}
	defer gate.Leave()
	seconds := service(normal)
	if !Pause(r.Context(), time.Duration(seconds*scale*float64(time.Second))) {
		return
	}
	rw.Header().Set(serviceHeader, strconv.FormatFloat(seconds, 'g', -1, 64))
	rw.WriteHeader(http.StatusOK)
}
