package requests_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/requests"
	"trimtab/deathstarbench/socialnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// emulated starts a server of the social network whose services take no time to speak of.
func emulated(t *testing.T) (*socialnet.Network, string) {
	t.Helper()
	network := socialnet.NewNetwork(socialnet.NewMemory())
	short := deathstarbench.Duration(time.Microsecond)
	s, err := socialnet.StartServer(socialnet.ServerConfig{Network: network, Server: deathstarbench.Server{
		Name: "a", Slots: 8, QueueLimit: 1000,
		Service: map[string]deathstarbench.Duration{deathstarbench.ComposePost: short,
			deathstarbench.ReadHomeTimeline: short, deathstarbench.ReadUserTimeline: short},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return network, "http://" + s.Addr()
}

func TestSetUpBringsTheGraphIntoTheNetwork(t *testing.T) {
	network, url := emulated(t)
	g, err := deathstarbench.GenerateGraph(40, 1)
	if err != nil {
		t.Fatal(err)
	}
	phases := map[string]int{}
	setUp := requests.SetUp{BaseURL: url + "/", Graph: g, FirstUser: 1, Posts: 5, Seed: 3,
		Progress: func(phase string, done, total int) {
			if done == total {
				phases[phase] = total
			}
		}}
	report, err := setUp.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if report.Users != 40 || report.Existing != 0 || report.Follows != 2*len(g.Edges) || report.Retries != 0 {
		t.Errorf("got %+v, want 40 users and %d follows", report, 2*len(g.Edges))
	}
	if report.Posts < 60 || report.Posts > 140 { // 40 draws of 0…5: 100 ± 10.8
		t.Errorf("got %d posts, want about 100", report.Posts)
	}
	if phases["register"] != 40 || phases["follow"] != 2*len(g.Edges) || phases["compose"] != report.Posts {
		t.Errorf("got progress to the end of %v", phases)
	}
	// Every user's posts are on the user timeline, and on every friend's home timeline.
	perUser, total := map[int]int{}, 0
	for user := 1; user <= 40; user++ {
		perUser[user] = posts(t, network, socialnet.UserTimeline, user)
		total += perUser[user]
	}
	if total != report.Posts {
		t.Errorf("got %d posts on user timelines, want %d", total, report.Posts)
	}
	friends := map[int]int{} // posts of friends
	for _, e := range g.Edges {
		friends[int(e[0])+1] += perUser[int(e[1])+1]
		friends[int(e[1])+1] += perUser[int(e[0])+1]
	}
	for user := 1; user <= 40; user++ {
		if got := posts(t, network, socialnet.HomeTimeline, user); got < friends[user] {
			t.Errorf("home timeline of user %d: got %d posts, want at least the friends' %d", user, got, friends[user])
		}
	}

	// Doing it again keeps the users.
	setUp.Posts = 0
	again, err := setUp.Run(t.Context())
	if err != nil || again.Users != 0 || again.Existing != 40 || again.Follows != 2*len(g.Edges) {
		t.Errorf("again: got %+v, %v, want 40 existing users", again, err)
	}
}

func posts(t *testing.T, n *socialnet.Network, kind socialnet.Kind, user int) int {
	t.Helper()
	body, err := n.Timeline(t.Context(), nil, kind, int64(user), 0, socialnet.TimelineLimit)
	if err != nil {
		t.Fatal(err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	return len(list)
}

var pair = &deathstarbench.Graph{Nodes: 2, Edges: [][2]int32{{0, 1}}}

func TestSetUpTriesAgainWhatMayPass(t *testing.T) {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusTooManyRequests)
		case 3:
			panic(http.ErrAbortHandler) // no answer
		}
	}))
	defer server.Close()
	report, err := requests.SetUp{BaseURL: server.URL, Graph: pair, Concurrency: 1,
		BackOff: time.Millisecond}.Run(t.Context())
	if err != nil || report.Retries != 3 || report.Users != 2 || report.Follows != 2 {
		t.Errorf("got %+v, %v, want 2 users, 2 follows and 3 retries", report, err)
	}
}

func TestSetUpGivesUp(t *testing.T) {
	for _, c := range []struct {
		why    string
		status int
		answer string
		calls  int64
		want   string
	}{
		{"an answer that will not change", 400, "Incomplete arguments", 1,
			`register: post /wrk2-api/user/register: 400 Bad Request: "Incomplete arguments"`},
		{"too many failures", 503, "busy", 3, "(gave up after 3 attempts)"},
		{"a failed registration for another reason", 500, "User registration failure: mongo", 3,
			"(gave up after 3 attempts)"},
	} {
		var calls atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.answer)
		}))
		_, err := requests.SetUp{BaseURL: server.URL, Graph: pair, Concurrency: 1, Attempts: 3,
			BackOff: time.Millisecond}.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || calls.Load() != c.calls {
			t.Errorf("%s: got %v after %d calls, want %s after %d", c.why, err, calls.Load(), c.want, c.calls)
		}
		server.Close()
	}
}

func TestSetUpTakesTheOriginalsWordForAUserWhoExists(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == deathstarbench.RegisterPath {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "User registration failure: User username_1 already existed\n")
		}
	}))
	defer server.Close()
	report, err := requests.SetUp{BaseURL: server.URL, Graph: pair}.Run(t.Context())
	if err != nil || report.Existing != 2 || report.Users != 0 || report.Follows != 2 {
		t.Errorf("got %+v, %v, want 2 existing users", report, err)
	}
}

func TestSetUpIsBoundedAndEndsWhenInterrupted(t *testing.T) {
	const bound = 3
	var now, most atomic.Int64
	full := make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client goes away
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if n == bound {
			once.Do(func() { close(full) })
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-full
		cancel()
	}()
	_, err := requests.SetUp{BaseURL: server.URL, Graph: &deathstarbench.Graph{Nodes: 50}, Concurrency: bound}.Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if most.Load() > bound {
		t.Errorf("got %d calls at once, want at most %d", most.Load(), bound)
	}
}
