package arena

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"trimtab/deathstarbench"
	"trimtab/localhttp"
)

// Server offers environments over HTTP and JSON:
//
//	GET  /scenarios                                          → {"scenarios": [name, …]}
//	POST /envs      {"scenario", "seed", "method"}           → {"env", "observation"}
//	POST /envs/{id}/reset {"scenario", "seed"}               → {"observation"}
//	POST /envs/{id}/step  {"weights": {upstream: [w, …]}}    → {"observation", "reward", "done", "info"}
//	DELETE /envs/{id}
//
// Errors are {"error": text} with status 400, 404, or 429 when there are too many environments. A scenario is the name
// of a built-in one or {"toml": text}. It is meant for loopback: everyone who can reach it can use it, and nothing
// on the machine but simulated worlds is within its reach.
type Server struct {
	opts SimOptions
	most int
	mu   sync.Mutex
	envs map[string]*session
}

// session is an environment and when it was used last.
type session struct {
	mu   sync.Mutex
	env  *Env
	used time.Time
}

const (
	defaultEnvs  = 64
	idleEnv      = 30 * time.Minute
	longestBody  = 1 << 20
	mostRequests = 1e9
	mostSteps    = 1_000_000
)

// NewServer returns a server of at most most environments at a time; 0 means 64. One that was idle for half an hour
// makes room for a new one.
func NewServer(o SimOptions, most int) *Server {
	if most == 0 {
		most = defaultEnvs
	}
	return &Server{opts: o, most: most, envs: map[string]*session{}}
}

// Handler returns the HTTP handler.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /scenarios", func(w http.ResponseWriter, _ *http.Request) {
		localhttp.Reply(w, http.StatusOK, map[string]any{"scenarios": deathstarbench.Names()})
	})
	mux.HandleFunc("POST /envs", s.create)
	mux.HandleFunc("POST /envs/{id}/reset", s.with(reset))
	mux.HandleFunc("POST /envs/{id}/step", s.with(step))
	mux.HandleFunc("DELETE /envs/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		_, ok := s.envs[r.PathValue("id")]
		delete(s.envs, r.PathValue("id"))
		s.mu.Unlock()
		if !ok {
			localhttp.Fail(w, http.StatusNotFound, errors.New("no such environment"))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return LocalOnly(mux)
}

// LocalOnly refuses what a web page on another site could make a browser send.
func LocalOnly(next http.Handler) http.Handler {
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

// episode is the body that begins one.
type episode struct {
	Scenario json.RawMessage `json:"scenario"`
	Seed     uint64          `json:"seed"`
	Method   string          `json:"method"`
}

func (e *episode) load() (*deathstarbench.Scenario, error) { return ParseEpisodeScenario(e.Scenario) }

// ParseEpisodeScenario returns the scenario that a client names: a built-in one by name, or {"toml": text}. It never
// reads a file, and refuses what would keep a core busy for minutes.
func ParseEpisodeScenario(wanted json.RawMessage) (*deathstarbench.Scenario, error) {
	var name string
	var inline struct {
		TOML string `json:"toml"`
	}
	var sc *deathstarbench.Scenario
	var err error
	switch {
	case json.Unmarshal(wanted, &name) == nil:
		text, e := deathstarbench.Source(name)
		if e != nil {
			return nil, e
		}
		sc, err = deathstarbench.Parse(name+".toml", text)
	case json.Unmarshal(wanted, &inline) == nil && inline.TOML != "":
		sc, err = deathstarbench.Parse("scenario", []byte(inline.TOML))
	default:
		return nil, errors.New(`scenario: want a name or {"toml": text}`)
	}
	if err == nil {
		err = affordable(sc)
	}
	return sc, err
}

// affordable refuses a scenario that would keep a core busy for minutes.
func affordable(sc *deathstarbench.Scenario) error {
	requests := 0.0
	for _, l := range sc.Loads {
		top := 0.0
		for _, p := range l.Phases {
			top = max(top, p.Rate)
		}
		requests += top * sc.Duration.Std().Seconds()
	}
	if requests > mostRequests || sc.Duration.Std()/sc.ControlInterval.Std() > mostSteps {
		return fmt.Errorf("scenario %s: want at most %.0g requests and %d control intervals", sc.Name,
			float64(mostRequests), mostSteps)
	}
	return nil
}

func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var body episode
	if !localhttp.Read(w, r, longestBody, &body) {
		return
	}
	if body.Method != "" && !isMethod(body.Method) {
		localhttp.Fail(w, http.StatusBadRequest, fmt.Errorf("unknown method %q", body.Method))
		return
	}
	sc, err := body.load()
	if err != nil {
		localhttp.Fail(w, http.StatusBadRequest, err)
		return
	}
	env := NewEnv(body.Method, s.opts)
	o, err := env.Reset(sc, body.Seed)
	if err != nil {
		localhttp.Fail(w, http.StatusBadRequest, err)
		return
	}
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.envs) >= s.most {
		for other, e := range s.envs {
			if e.mu.TryLock() {
				if time.Since(e.used) > idleEnv {
					delete(s.envs, other)
				}
				e.mu.Unlock()
			}
		}
	}
	if len(s.envs) >= s.most {
		localhttp.Fail(w, http.StatusTooManyRequests, fmt.Errorf("%d environments are in use: delete one", s.most))
		return
	}
	s.envs[id] = &session{env: env, used: time.Now()}
	localhttp.Reply(w, http.StatusCreated, map[string]any{"env": id, "observation": o})
}

// with finds the environment of a request and holds it.
func (s *Server) with(do func(*Env, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		e := s.envs[r.PathValue("id")]
		s.mu.Unlock()
		if e == nil {
			localhttp.Fail(w, http.StatusNotFound, errors.New("no such environment"))
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.used = time.Now()
		do(e.env, w, r)
	}
}

func reset(env *Env, w http.ResponseWriter, r *http.Request) {
	var body episode
	if !localhttp.Read(w, r, longestBody, &body) {
		return
	}
	sc := env.scenario
	if len(body.Scenario) > 0 {
		var err error
		if sc, err = body.load(); err != nil {
			localhttp.Fail(w, http.StatusBadRequest, err)
			return
		}
	}
	o, err := env.Reset(sc, body.Seed)
	if err != nil {
		localhttp.Fail(w, http.StatusBadRequest, err)
		return
	}
	localhttp.Reply(w, http.StatusOK, map[string]any{"observation": o})
}

func step(env *Env, w http.ResponseWriter, r *http.Request) {
	var body struct {
		Weights map[string][]float64 `json:"weights"`
	}
	if !localhttp.Read(w, r, longestBody, &body) {
		return
	}
	o, reward, done, info, err := env.Step(body.Weights)
	if err != nil {
		localhttp.Fail(w, http.StatusBadRequest, err)
		return
	}
	localhttp.Reply(w, http.StatusOK, map[string]any{"observation": o, "reward": reward, "done": done, "info": info})
}
