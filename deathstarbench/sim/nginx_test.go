package sim

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"

	"trimtab/deathstarbench"
	"trimtab/nginx/instance"
)

// balancer returns the state of a group with the given weights, outside of any run.
func balancer(t *testing.T, method Method, maxFails int, weights ...int) *group {
	t.Helper()
	u := deathstarbench.Upstream{Name: "g", Workload: "compose-post", Weights: weights}
	servers := map[string]int32{}
	for i := range weights {
		name := fmt.Sprint("s", i)
		u.Servers = append(u.Servers, name)
		servers[name] = int32(i)
	}
	o := Options{Method: method, MaxFails: maxFails}
	if err := o.complete(&deathstarbench.Scenario{ControlInterval: 1}); err != nil {
		t.Fatal(err)
	}
	g, err := newGroup(u, nil, servers, &o, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &g
}

// upstream is one group of a real NGINX under test.
type upstream struct {
	method  string // "" or "least_conn;"
	params  string // of every server
	weights []int
	addrs   []string
}

// startNGINX runs one worker with the groups at /0, /1, …, and returns its address.
func startNGINX(t *testing.T, groups []upstream) string {
	t.Helper()
	if _, err := instance.Binary(t.Context()); errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	dir := t.TempDir()
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	listen := fmt.Sprintf("127.0.0.1:%d", ports[0])
	var b strings.Builder
	fmt.Fprintf(&b, "%sworker_processes 1;\nevents { worker_connections 4096; }\nhttp {\n%saccess_log off;\n", main,
		instance.HTTPPaths(dir))
	for i, g := range groups {
		fmt.Fprintf(&b, "upstream g%d { %s\n", i, g.method)
		for j, w := range g.weights {
			fmt.Fprintf(&b, "  server %s weight=%d %s;\n", g.addrs[j], w, g.params)
		}
		b.WriteString("}\n")
	}
	fmt.Fprintf(&b, "server { listen %s; proxy_http_version 1.1; proxy_set_header Connection \"\";\n", listen)
	for i := range groups {
		fmt.Fprintf(&b, "  location = /%d { proxy_pass http://g%d; }\n", i, i)
	}
	b.WriteString("} }\n")
	n, err := instance.Start(t.Context(), dir, b.String(), listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	return listen
}

// backends starts n servers on loopback that answer with their number.
func backends(t *testing.T, n int, handle func(i int, w http.ResponseWriter, r *http.Request)) []string {
	t.Helper()
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(i, w, r) })}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { s.Close() })
		addrs[i] = l.Addr().String()
	}
	return addrs
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestRoundRobinIsNGINXs(t *testing.T) {
	addrs := backends(t, 8, func(i int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) })
	vectors := [][]int{
		{1, 1}, {1, 1, 1}, {1, 2, 4}, {4, 2, 1}, {5, 1, 1}, {1, 5, 1}, {3, 3, 1}, {7, 3}, {10, 9, 8}, {1, 2, 3, 4},
		{6, 6, 6},
		{100, 1}, {100, 99, 98}, {2, 3, 5, 7, 11}, {1, 1, 1, 1, 1, 1, 1, 1}, {1, 2, 3, 4, 5, 6, 7, 8},
		{13, 8, 5, 3, 2, 1},
		{20, 1, 20, 1}, {50, 25, 25}, {17, 19, 23},
	}
	var groups []upstream
	for _, v := range vectors {
		groups = append(groups, upstream{weights: v, addrs: addrs[:len(v)]})
	}
	listen := startNGINX(t, groups)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n, v := range vectors {
		g := balancer(t, RoundRobin, 0, v...)
		var got, want []string
		for range 150 {
			i := g.pick(0)
			got = append(got, fmt.Sprint(i))
			want = append(want, get(t, client, fmt.Sprintf("http://%s/%d", listen, n)))
		}
		if a, b := strings.Join(got, ""), strings.Join(want, ""); a != b {
			t.Errorf("weights %v: got %s, NGINX has %s", v, a, b)
		}
	}
}

func TestPassiveFailuresAreNGINXs(t *testing.T) {
	addrs := backends(t, 2, func(i int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) })
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	dead := fmt.Sprintf("127.0.0.1:%d", ports[0])
	// The dead server stands first; NGINX passes its requests on. fail_timeout is longer than the test may take.
	cases := []struct {
		about    string
		method   Method
		maxFails int
		weights  []int
	}{
		{"one failure takes the server out", RoundRobin, 1, []int{2, 1, 1}},
		{"failures lower the effective weight until max_fails", RoundRobin, 4, []int{9, 2, 3}},
		{"max_fails=0 never takes it out", RoundRobin, -1, []int{3, 1, 2}},
		{"least_conn passes on by the same rules", LeastConn, 3, []int{4, 1, 2}},
	}
	var groups []upstream
	for _, c := range cases {
		method := ""
		if c.method == LeastConn {
			method = "least_conn;"
		}
		groups = append(groups, upstream{method: method, params: fmt.Sprintf("max_fails=%d fail_timeout=1h",
			max(c.maxFails, 0)), weights: c.weights,
			addrs: []string{dead, addrs[0], addrs[1]}})
	}
	listen := startNGINX(t, groups)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n, c := range cases {
		g := balancer(t, c.method, c.maxFails, c.weights...)
		g.failTimeout = 3600
		var got, want strings.Builder
		for range 80 {
			i := g.pick(0)
			g.peers[i].conns++
			for i == 0 {
				g.done(0, 0, true, 0)
				g.tried[0], g.plain = true, false
				i = g.pick(0)
				g.peers[i].conns++
			}
			g.done(i, 0, false, 0)
			g.tried[0] = false
			fmt.Fprint(&got, i-1)
			want.WriteString(get(t, client, fmt.Sprintf("http://%s/%d", listen, n)))
		}
		if got.String() != want.String() {
			t.Errorf("%s: got %s, NGINX has %s", c.about, got.String(), want.String())
		}
	}
}

// TestLeastConnIsNGINXs lets requests come and end in a random order, the same one in NGINX and in the simulator, and
// compares every pick: so all shares are equal too.
func TestLeastConnIsNGINXs(t *testing.T) {
	arrived := make(chan int)
	release := map[string]chan struct{}{}
	for i := range 4096 {
		release[fmt.Sprint(i)] = make(chan struct{})
	}
	addrs := backends(t, 5, func(i int, w http.ResponseWriter, r *http.Request) {
		arrived <- i
		<-release[r.URL.Query().Get("id")]
		fmt.Fprint(w, i)
	})
	scenarios := []struct {
		about   string
		weights []int
		most    int     // requests in flight
		bias    float64 // how much the last server is slower than the first
	}{
		{"equal servers, few requests: ties decide", []int{1, 1, 1}, 4, 1},
		{"equal weights, one slow server", []int{1, 1, 1}, 24, 4},
		{"weights by capacity", []int{1, 2, 4}, 30, 1},
		{"five uneven servers, many requests", []int{7, 3, 1, 10, 2}, 60, 3},
	}
	var groups []upstream
	for _, s := range scenarios {
		groups = append(groups, upstream{method: "least_conn;", weights: s.weights, addrs: addrs[:len(s.weights)]})
	}
	listen := startNGINX(t, groups)
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	id := 0
	for n, s := range scenarios {
		g := balancer(t, LeastConn, 0, s.weights...)
		rng := rand.New(rand.NewPCG(11, uint64(n)))
		type flight struct {
			id, peer int
			done     chan error
		}
		var flights []flight
		wrong, shares := 0, make([]int, len(s.weights))
		end := func() {
			// Servers further down the list are slower: they are less likely to be the one that ends.
			k := rng.IntN(len(flights))
			for range 3 {
				if o := rng.IntN(len(flights)); rng.Float64() < (s.bias-1)/s.bias && flights[o].peer < flights[k].peer {
					k = o
				}
			}
			f := flights[k]
			flights = append(flights[:k], flights[k+1:]...)
			close(release[fmt.Sprint(f.id)])
			if err := <-f.done; err != nil {
				t.Fatal(err)
			}
			g.done(f.peer, 0, false, 0)
		}
		for range 400 {
			for len(flights) >= s.most || len(flights) > 0 && rng.Float64() < 0.45 {
				end()
			}
			f := flight{id: id, done: make(chan error, 1)}
			id++
			go func() {
				resp, err := client.Get(fmt.Sprintf("http://%s/%d?id=%d", listen, n, f.id))
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				f.done <- err
			}()
			f.peer = <-arrived
			want := g.pick(0)
			if want != f.peer {
				wrong++
			}
			g.peers[f.peer].conns++
			shares[f.peer]++
			flights = append(flights, f)
		}
		for len(flights) > 0 {
			end()
		}
		if wrong > 0 {
			t.Errorf("%s: %d of 400 picks differ from NGINX's (its shares: %v)", s.about, wrong, shares)
		}
	}
}
