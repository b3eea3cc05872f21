package socialnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"trimtab/deathstarbench"
)

const readOne = deathstarbench.HomeTimelinePath + "?user_id=1&start=0&stop=10"

// slow is a server of one slot whose services take an hour.
func slow(limit int) deathstarbench.Server {
	v := quick()
	v.Slots, v.QueueLimit = 1, limit
	for w := range v.Service {
		v.Service[w] = deathstarbench.Duration(time.Hour)
	}
	return v
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		case <-tick.C:
		}
	}
}

func TestDownRefusesCutsAndComesBackOnTheSamePort(t *testing.T) {
	s, client := startQuick(t, slow(10))
	addr := s.Addr()
	cut := make(chan error, 1)
	go func() {
		resp, err := client.Get("http://" + addr + readOne)
		if err == nil {
			resp.Body.Close()
		}
		cut <- err
	}()
	eventually(t, "a request in service", func() bool { return s.Stats().InService == 1 })
	id, err := s.SetFault(deathstarbench.Fault{Kind: deathstarbench.Down})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-cut; err == nil {
		t.Error("the request in service: got an answer, want its connection cut")
	}
	_, err = client.Get("http://" + addr + readOne)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("while down: got %v, want connection refused", err)
	}
	if v := s.Stats(); v.Up || v.InService != 0 || v.Lost != 1 || len(v.Faults) != 1 {
		t.Errorf("while down: got %+v, want down, nothing in service, one lost", v)
	}
	// A second fault of the kind: the server is up when both have ended.
	second, err := s.SetFault(deathstarbench.Fault{Kind: deathstarbench.Down})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []int{id, second} {
		if ok, err := s.ClearFault(f); !ok || err != nil {
			t.Fatalf("clear: got %v, %v", ok, err)
		}
	}
	if s.Addr() != addr {
		t.Errorf("got address %s after the fault, want %s", s.Addr(), addr)
	}
	resp, err := client.Post("http://"+addr+deathstarbench.RegisterPath, "application/x-www-form-urlencoded",
		strings.NewReader("first_name=f&last_name=l&username=u&password=p&user_id=1"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("after the fault: got %v, %v", resp, err)
	}
	resp.Body.Close()
	if ok, err := s.ClearFault(id); ok || err != nil {
		t.Errorf("clearing it again: got %v, %v, want false", ok, err)
	}
}

// Nobody else gets the port of a server that is down.
func TestPortStaysReservedWhileDown(t *testing.T) {
	s, _ := startQuick(t, quick())
	if _, err := s.SetFault(deathstarbench.Fault{Kind: deathstarbench.Down}); err != nil {
		t.Fatal(err)
	}
	if _, err := StartServer(ServerConfig{Server: quick(), Network: NewNetwork(NewMemory()),
		Addr: "127.0.0.1:99999"}); err == nil {
		t.Error("an impossible address: got no error")
	}
	listener := http.Server{Addr: s.Addr()}
	if err := listener.ListenAndServe(); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v, want address in use", err)
	}
}

func TestFullQueueAnswers503(t *testing.T) {
	s, client := startQuick(t, slow(2))
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range 3 { // one in service, two in queue
		waiting.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr()+readOne, nil)
			if resp, err := client.Do(req); err == nil {
				resp.Body.Close()
				t.Error("a request that waits for an hour was answered")
			}
		})
	}
	eventually(t, "a full queue", func() bool { return s.Stats().Waiting == 2 })
	req, err := http.NewRequest(http.MethodGet, "http://"+s.Addr()+readOne, nil)
	if status, body := get(t, client, req, err); status != http.StatusServiceUnavailable {
		t.Errorf("got %d %q, want 503", status, body)
	}
	// Those whose client goes away leave the queue; the one in service holds its slot.
	cancel()
	waiting.Wait()
	eventually(t, "an empty queue", func() bool {
		v := s.Stats()
		return v.Waiting == 0 && v.Canceled == 2 && v.InService == 1
	})
}

func TestErrorFaultAnswers500(t *testing.T) {
	s, client := startQuick(t, slow(2))
	if _, err := s.SetFault(deathstarbench.Fault{Kind: deathstarbench.Error, Probability: 1,
		Latency: deathstarbench.Duration(ms)}); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+s.Addr()+deathstarbench.ComposePath,
		strings.NewReader(rawCompose))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if status, body := get(t, client, req, err); status != http.StatusInternalServerError ||
		body != "injected failure\n" {
		t.Errorf("got %d %q, want 500", status, body)
	}
	posts, err := s.network.store.Posts(t.Context(), nil, UserTimeline, 1, 0, 10)
	if err != nil || len(posts) != 0 {
		t.Errorf("a failed compose: got %d posts, %v, want none", len(posts), err)
	}
}

func TestSetFaultRefuses(t *testing.T) {
	s, _ := startQuick(t, quick())
	for _, f := range []deathstarbench.Fault{
		{Kind: "slow"},                                       // a kind that does not exist
		{Kind: deathstarbench.Slowdown},                      // no factor
		{Kind: deathstarbench.Down, Factor: 2},               // a factor where there is none
		{Kind: deathstarbench.Error, Probability: -1},        // no probability
		{Kind: deathstarbench.NetworkDelay, Delay: -1},       // a delay below nothing
		{Kind: deathstarbench.Capacity, Slots: -1},           // slots below nothing
		{Kind: deathstarbench.Slowdown, Factor: 2, Slots: 1}, // two kinds in one
		{Kind: deathstarbench.Pause, Factor: 2},              // a factor where there is none
		{Kind: deathstarbench.Hang, Probability: 2},          // no probability
		{Kind: deathstarbench.Shed, Latency: -1},             // a latency below nothing
	} {
		if _, err := s.SetFault(f); err == nil {
			t.Errorf("%+v: got no error", f)
		}
	}
	if v := s.Stats(); len(v.Faults) != 0 {
		t.Errorf("got %v in force, want nothing", v.Faults)
	}
}

// twoServers is a scenario whose faults come soon after each other.
func twoServers(t *testing.T) *deathstarbench.Scenario {
	t.Helper()
	s, err := deathstarbench.Parse("t.toml", []byte(`
duration = "100h"
[[server]]
name = "a"
slots = 3
service = { compose-post = "1ms" }
[[server]]
name = "b"
slots = 3
service = { compose-post = "1ms" }
[[upstream]]
name = "u"
workload = "compose-post"
servers = ["a", "b"]
[[load]]
workload = "compose-post"
arrival = "exp"
phases = [{ at = "0s", rate = 1 }]
[[fault]]
server = "a"
kind = "slowdown"
factor = 2
at = "1s"
until = "2s"
[[fault]]
server = "b"
kind = "capacity"
slots = 1
at = "1s"
[[fault]]
server = "a"
kind = "down"
at = "3s"
until = "50h"
`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPlayFaultsFollowsTheScenario(t *testing.T) {
	b, err := StartAll(t.Context(), twoServers(t), NewNetwork(NewMemory()), Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	state := func() string {
		a, c := b.Server("a").Stats(), b.Server("b").Stats()
		text := ""
		for _, v := range []Stats{a, c} {
			text += v.Server
			for _, f := range v.Faults {
				text += " " + f.Kind
			}
			text += ";"
		}
		return text
	}
	for _, c := range []struct {
		why   string
		since time.Duration // how long ago the run began
		want  string
	}{
		{"before all", -time.Hour, "a;b;"},
		{"the first two", time.Second, "a slowdown;b capacity;"},
		{"one has ended, one lasts", 2 * time.Second, "a;b capacity;"},
		{"down", 4 * time.Second, "a down;b capacity;"},
		{"back again", 50 * time.Hour, "a;b capacity;"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		played := make(chan error, 1)
		go func() { played <- b.PlayFaults(ctx, time.Now().Add(-c.since)) }()
		eventually(t, c.why+": "+c.want, func() bool { return state() == c.want })
		cancel()
		if err := <-played; err != nil {
			t.Errorf("%s: %v", c.why, err)
		}
		if got := state(); got != "a;b;" {
			t.Errorf("%s, then stopped: got %s, want no faults left", c.why, got)
		}
	}
	if err := b.PlayFaults(t.Context(), time.Now().Add(-200*time.Hour)); err != nil {
		t.Errorf("a run that is over: got %v", err)
	}
}

func TestStartAllStartsEveryServerOfTheScenario(t *testing.T) {
	s, err := deathstarbench.Load("sixteen")
	if err != nil {
		t.Fatal(err)
	}
	b, err := StartAll(t.Context(), s, NewNetwork(NewMemory()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, v := range s.Servers {
		seen[b.Addr(v.Name)] = true
	}
	if len(seen) != 16 || seen[""] || b.Addr("nobody") != "" {
		t.Errorf("got addresses %v, want 16", seen)
	}
	b.Stop()
	b.Stop() // harmless
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartAll(ctx, s, NewNetwork(NewMemory()), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %v, want context.Canceled", err)
	}
}

func TestServeAdminListensOnLoopbackOnly(t *testing.T) {
	b, err := StartAll(t.Context(), twoServers(t), NewNetwork(NewMemory()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "localhost", "nonsense"} {
		if url, err := b.ServeAdmin(addr); err == nil {
			t.Errorf("%s: got %s, want an error", addr, url)
		}
	}
	url, err := b.ServeAdmin("")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url + "/servers")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("got %v, %v", resp, err)
	}
	resp.Body.Close()
}

func TestAdminCall(t *testing.T) {
	b, err := StartAll(t.Context(), twoServers(t), NewNetwork(NewMemory()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	handler := b.Admin()
	call := func(method, path, body string) (int, string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		text, _ := io.ReadAll(w.Result().Body)
		return w.Code, string(bytes.TrimSpace(text))
	}
	for _, c := range []struct {
		why, method, path, body string
		status                  int
		want                    string
	}{
		{"a slowdown", "POST", "/servers/a/faults", `{"kind":"slowdown","factor":3}`, 201,
			`{"id":1,"kind":"slowdown","factor":3}`},
		{"a second one beside it", "POST", "/servers/a/faults", `{"kind":"network_delay","delay":"20ms"}`, 201,
			`{"id":2,"kind":"network_delay","delay":"20ms"}`},
		{"fewer slots elsewhere", "POST", "/servers/b/faults", `{"kind":"capacity","slots":1}`, 201,
			`{"id":1,"kind":"capacity","slots":1}`},
		{"the first one cleared", "DELETE", "/servers/a/faults/1", "", 204, ""},
		{"the first one cleared again", "DELETE", "/servers/a/faults/1", "", 404,
			`{"error":"server a has no fault 1"}`},
		{"an unknown server", "POST", "/servers/z/faults", `{"kind":"down"}`, 404, `{"error":"unknown server \"z\""}`},
		{"an unknown key", "POST", "/servers/a/faults", `{"kind":"down","by":"me"}`, 400,
			`{"error":"read fault: json: unknown field \"by\""}`},
		{"a duration without a unit", "POST", "/servers/a/faults", `{"kind":"down","for":"3"}`, 400,
			`{"error":"read fault: `},
		{"an end before the beginning", "POST", "/servers/a/faults", `{"kind":"down","for":"-3s"}`, 400,
			`{"error":"for -3s: want at least 0"}`},
		{"an unknown kind", "POST", "/servers/a/faults", `{"kind":"slow"}`, 400,
			`{"error":"set fault on server a: kind: `},
		{"a fault that is no number", "DELETE", "/servers/a/faults/x", "", 404,
			`{"error":"unknown server \"a\" or fault \"x\""}`},
	} {
		status, body := call(c.method, c.path, c.body)
		if status != c.status || !strings.HasPrefix(body, c.want) {
			t.Errorf("%s: got %d %s, want %d %s", c.why, status, body, c.status, c.want)
		}
	}
	if status, body := call("POST", "/servers/b/faults", `{"kind":"down","for":"5ms"}`); status != 201 {
		t.Fatalf("down for 5 ms: got %d %s", status, body)
	}
	eventually(t, "b is up again", func() bool { v := b.Server("b").Stats(); return v.Up && len(v.Faults) == 1 })
	status, body := call("GET", "/servers", "")
	var stats []Stats
	if err := json.Unmarshal([]byte(body), &stats); status != 200 || err != nil || len(stats) != 2 {
		t.Fatalf("got %d %s, %v", status, body, err)
	}
	if stats[0].Slots != 3 || stats[1].Slots != 1 || len(stats[0].Faults) != 1 ||
		stats[0].Faults[0].Kind != "network_delay" {
		t.Errorf("got %+v, want 3 slots and a network delay, and 1 slot", stats)
	}
}
