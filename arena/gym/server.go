package gym

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"trimtab/arena/autoscale"
	"trimtab/arena/edge"
	"trimtab/deathstarbench"
	"trimtab/localhttp"
)

// Server offers environments over HTTP and JSON:
//
//	GET    /v1                                              → {"api", "environments", "scenarios"}
//	POST   /v1/vec   {"env", "scenario", "num_envs", …}     → {"id", "num_envs", "spec"}
//	POST   /v1/vec/{id}/reset {"seed"} or {"seeds"}         → {"observations", "infos"}
//	POST   /v1/vec/{id}/step  {"actions": [[…], …]}         → Steps
//	DELETE /v1/vec/{id}
//
// A scenario is the name of a built-in one of the environment, or {"toml": text}; what is on this machine is out of
// reach. With "seed" environment i begins on seed + i. Errors are {"error": text} with status 400, 404, or 429 when
// there are too many. A client that goes away without deleting leaves what it had: after half an hour without a call it
// makes room for others.
type Server struct {
	live bool
	most int // environments at a time, of all clients
	now  func() time.Time
	mu   sync.Mutex
	vecs map[string]*session
	envs int
}

type session struct {
	vec  *Vec
	used time.Time
	busy int
}

const (
	idleTime    = 30 * time.Minute
	longestBody = 4 << 20
)

// NewServer returns a server of at most most environments; now is the time, nil: time.Now.
func NewServer(live bool, most int, now func() time.Time) *Server {
	if now == nil {
		now = time.Now
	}
	return &Server{live: live, most: most, now: now, vecs: map[string]*session{}}
}

// Handler returns the HTTP handler, for paths that begin with /v1.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1", func(w http.ResponseWriter, _ *http.Request) {
		localhttp.Reply(w, http.StatusOK, map[string]any{"api": API, "environments": IDs(), "scenarios": map[string][]string{
			WeightsID: deathstarbench.Names(), EdgeID: {edge.EdgeCloud}, AutoscaleID: {autoscale.Autoscaled}, ParkID: {}}})
	})
	mux.HandleFunc("POST /v1/vec", s.create)
	mux.HandleFunc("POST /v1/vec/{id}/reset", s.with(reset))
	mux.HandleFunc("POST /v1/vec/{id}/step", s.with(step))
	mux.HandleFunc("DELETE /v1/vec/{id}", s.remove)
	return localOnly(mux)
}

// localOnly refuses what a web page on another site could make a browser send.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) ||
			r.Header.Get("Origin") != "" {
			localhttp.Fail(w, http.StatusForbidden, errors.New("only local programs are served"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// wanted is the body that makes environments.
type wanted struct {
	API       int             `json:"api"` // that the client speaks; 0: any
	Env       string          `json:"env"`
	Scenario  json.RawMessage `json:"scenario"`
	Method    string          `json:"method"`
	Envs      int             `json:"num_envs"`
	MaxSteps  int             `json:"max_steps"`
	AutoReset *bool           `json:"autoreset"` // default true
	Park      ParkConfig      `json:"park"`
}

func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var body wanted
	if !localhttp.Read(w, r, longestBody, &body) {
		return
	}
	if body.API != 0 && body.API != API {
		localhttp.Fail(w, http.StatusBadRequest, fmt.Errorf("api %d: this server speaks %d", body.API, API))
		return
	}
	o := Options{Env: body.Env, Method: body.Method, Live: s.live, Park: body.Park, Envs: max(body.Envs, 1),
		MaxSteps:    body.MaxSteps,
		NoAutoReset: body.AutoReset != nil && !*body.AutoReset}
	if body.Envs < 0 || o.NoAutoReset && o.Envs > 1 {
		localhttp.Fail(w, http.StatusBadRequest, fmt.Errorf("num_envs %d: want at least 1, and no more without autoreset",
			body.Envs))
		return
	}
	if err := o.parse(body.Scenario); err != nil {
		localhttp.Fail(w, http.StatusBadRequest, err)
		return
	}
	vec, err := NewVec(o)
	if err != nil {
		localhttp.Fail(w, http.StatusBadRequest, err)
		return
	}
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.envs+vec.Len() > s.most {
		for other, e := range s.vecs {
			if e.busy == 0 && s.now().Sub(e.used) > idleTime {
				s.envs -= e.vec.Len()
				delete(s.vecs, other)
			}
		}
	}
	if s.envs+vec.Len() > s.most {
		localhttp.Fail(w, http.StatusTooManyRequests,
			fmt.Errorf("%d of %d environments are in use: delete some", s.envs, s.most))
		return
	}
	s.envs += vec.Len()
	s.vecs[id] = &session{vec: vec, used: s.now()}
	localhttp.Reply(w, http.StatusCreated, map[string]any{"id": id, "num_envs": vec.Len(), "spec": vec.Spec()})
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	e, ok := s.vecs[r.PathValue("id")]
	if ok {
		s.envs -= e.vec.Len()
		delete(s.vecs, r.PathValue("id"))
	}
	s.mu.Unlock()
	if !ok {
		localhttp.Fail(w, http.StatusNotFound, errors.New("no such environments"))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// with finds the environments of a request.
func (s *Server) with(do func(*Vec, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		e := s.vecs[r.PathValue("id")]
		if e != nil {
			e.used = s.now()
			e.busy++
		}
		s.mu.Unlock()
		if e == nil {
			localhttp.Fail(w, http.StatusNotFound, errors.New("no such environments"))
			return
		}
		defer func() {
			s.mu.Lock()
			e.busy--
			s.mu.Unlock()
		}()
		do(e.vec, w, r)
	}
}

func reset(v *Vec, w http.ResponseWriter, r *http.Request) {
	var body struct {
		Seed  uint64   `json:"seed"`
		Seeds []uint64 `json:"seeds"`
	}
	if !localhttp.Read(w, r, longestBody, &body) {
		return
	}
	if body.Seeds == nil {
		for i := range v.Len() {
			body.Seeds = append(body.Seeds, body.Seed+uint64(i))
		}
	}
	observations, infos, err := v.Reset(body.Seeds)
	if err != nil {
		localhttp.Fail(w, http.StatusBadRequest, err)
		return
	}
	localhttp.Reply(w, http.StatusOK, map[string]any{"observations": observations, "infos": infos})
}

func step(v *Vec, w http.ResponseWriter, r *http.Request) {
	var body struct {
		Actions [][]float64 `json:"actions"`
	}
	if !localhttp.Read(w, r, longestBody, &body) {
		return
	}
	out, err := v.Step(body.Actions)
	if err != nil {
		localhttp.Fail(w, http.StatusBadRequest, err)
		return
	}
	localhttp.Reply(w, http.StatusOK, out)
}
