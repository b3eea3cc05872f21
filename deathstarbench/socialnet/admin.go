package socialnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"trimtab/deathstarbench"
	"trimtab/localhttp"
)

// Stats says how a server is doing.
type Stats struct {
	Server    string `json:"server"`
	Addr      string `json:"addr"`
	Up        bool   `json:"up"`
	Slots     int    `json:"slots"`      // now, faults counted
	InService int    `json:"in_service"` // now
	Waiting   int    `json:"waiting"`    // now

	// Since the start, which was ClockSeconds ago:
	ClockSeconds float64 `json:"clock_s"`
	Served       uint64  `json:"served"`
	Refused      uint64  `json:"refused"`  // 503, queue full
	Failed       uint64  `json:"failed"`   // injected errors
	Shed         uint64  `json:"shed"`     // injected refusals, 429
	Hung         uint64  `json:"hung"`     // taken and never answered
	Lost         uint64  `json:"lost"`     // cut when the server went down
	Canceled     uint64  `json:"canceled"` // the client went away while waiting
	Begun        uint64  `json:"begun"`    // services
	BusySeconds  float64 `json:"busy_s"`   // slot-time of the services begun, by the model
	// Late is how long after the model's due time answers were begun: timer and scheduler, all that is added to the
	// model.
	LateSumSeconds float64 `json:"late_sum_s"`
	LateMaxMsec    float64 `json:"late_max_ms"`

	Faults []FaultJSON `json:"faults"`
}

// FaultJSON is a fault in the admin call.
type FaultJSON struct {
	ID          int                     `json:"id,omitempty"`
	Kind        string                  `json:"kind"`
	Factor      float64                 `json:"factor,omitempty"`
	Slots       int                     `json:"slots,omitempty"`
	Probability float64                 `json:"probability,omitempty"`
	Latency     deathstarbench.Duration `json:"latency,omitempty"`
	Delay       deathstarbench.Duration `json:"delay,omitempty"`
	For         deathstarbench.Duration `json:"for,omitempty"` // cleared after this; 0: until cleared by hand
}

// Stats returns how the server is doing.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := Stats{Server: s.name, Addr: s.port.addr, Up: s.http != nil, Faults: []FaultJSON{}}
	for _, a := range s.faults {
		f := a.fault
		v.Faults = append(v.Faults, FaultJSON{ID: a.id, Kind: f.Kind, Factor: f.Factor, Slots: f.Slots,
			Probability: f.Probability, Latency: f.Latency, Delay: f.Delay})
	}
	st := s.station
	st.mu.Lock()
	defer st.mu.Unlock()
	now := st.clock()
	st.advance(now)
	st.arm()
	v.ClockSeconds = now.Seconds()
	v.Slots, v.InService, v.Waiting = st.capacity(), st.busy, st.waiting
	c := &st.count
	v.Served, v.Refused, v.Failed, v.Lost, v.Canceled = c.Served, c.Refused, c.Failed, c.Lost, c.Canceled
	v.Shed, v.Hung = c.Shed, c.Hung
	v.Begun, v.BusySeconds = c.Begun, c.Busy.Seconds()
	v.LateSumSeconds = time.Duration(s.late.sum.Load()).Seconds()
	v.LateMaxMsec = time.Duration(s.late.max.Load()).Seconds() * 1e3
	return v
}

// Admin returns the admin call, which belongs on a loopback address:
//
//	GET    /servers                     how every server is doing
//	POST   /servers/{name}/faults       put a fault in force: {"kind":"slowdown","factor":3,"for":"30s"}
//	DELETE /servers/{name}/faults/{id}  clear it
//	PUT    /servers/{name}/slots        change what it serves at once: {"slots":3}
func (b *Backends) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /servers", func(w http.ResponseWriter, _ *http.Request) {
		stats := make([]Stats, len(b.servers))
		for i, s := range b.servers {
			stats[i] = s.Stats()
		}
		answer(w, http.StatusOK, stats)
	})
	mux.HandleFunc("POST /servers/{name}/faults", b.postFault)
	mux.HandleFunc("DELETE /servers/{name}/faults/{id}", b.deleteFault)
	mux.HandleFunc("PUT /servers/{name}/slots", b.putSlots)
	return mux
}

// ServeAdmin serves the admin call on a loopback address until Stop and returns its URL. An empty address means a free
// port of 127.0.0.1.
func (b *Backends) ServeAdmin(addr string) (string, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("admin address %q: want a loopback address such as 127.0.0.1:18081", addr)
	}
	listener, err := localhttp.Listen(context.Background(), addr, localhttp.Limits{})
	if err != nil {
		return "", fmt.Errorf("serve the admin call: %w", err)
	}
	b.admin = localhttp.NewServer(b.Admin(), localhttp.Limits{})
	b.admin.ErrorLog = slog.NewLogLogger(b.logger.Handler(), slog.LevelDebug)
	b.adminDone = make(chan struct{})
	go func() {
		defer close(b.adminDone)
		if err := b.admin.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			b.logger.Error("admin call stopped", "error", err)
		}
	}()
	return "http://" + listener.Addr().String(), nil
}

func (b *Backends) postFault(w http.ResponseWriter, r *http.Request) {
	s := b.Server(r.PathValue("name"))
	if s == nil {
		refuse(w, http.StatusNotFound, fmt.Errorf("unknown server %q", r.PathValue("name")))
		return
	}
	var f FaultJSON
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("read fault: %w", err))
		return
	}
	if f.For < 0 {
		refuse(w, http.StatusBadRequest, fmt.Errorf("for %s: want at least 0", f.For.Std()))
		return
	}
	id, err := s.SetFault(deathstarbench.Fault{Kind: f.Kind, Factor: f.Factor, Slots: f.Slots,
		Probability: f.Probability, Latency: f.Latency, Delay: f.Delay})
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if f.For > 0 {
		time.AfterFunc(f.For.Std(), func() {
			if _, err := s.ClearFault(id); err != nil {
				b.logger.Error("clear fault", "server", s.name, "error", err)
			}
		})
	}
	f.ID = id
	answer(w, http.StatusCreated, f)
}

func (b *Backends) deleteFault(w http.ResponseWriter, r *http.Request) {
	s := b.Server(r.PathValue("name"))
	id, err := strconv.Atoi(r.PathValue("id"))
	if s == nil || err != nil {
		refuse(w, http.StatusNotFound, fmt.Errorf("unknown server %q or fault %q", r.PathValue("name"),
			r.PathValue("id")))
		return
	}
	ok, err := s.ClearFault(id)
	switch {
	case err != nil:
		refuse(w, http.StatusInternalServerError, err)
	case !ok:
		refuse(w, http.StatusNotFound, fmt.Errorf("server %s has no fault %d", s.name, id))
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (b *Backends) putSlots(w http.ResponseWriter, r *http.Request) {
	s := b.Server(r.PathValue("name"))
	if s == nil {
		refuse(w, http.StatusNotFound, fmt.Errorf("unknown server %q", r.PathValue("name")))
		return
	}
	var want struct {
		Slots int `json:"slots"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
	if err := decoder.Decode(&want); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("read slots: %w", err))
		return
	}
	if err := s.SetSlots(want.Slots); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	answer(w, http.StatusOK, want)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only when the client has gone
}

func refuse(w http.ResponseWriter, status int, err error) {
	answer(w, status, map[string]string{"error": err.Error()})
}
