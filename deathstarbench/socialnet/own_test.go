package socialnet

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"trimtab/deathstarbench"
)

func TestServerAnswersServicesOfTheScenariosOwn(t *testing.T) {
	short := deathstarbench.Duration(100 * time.Microsecond)
	s, err := StartServer(ServerConfig{Network: NewNetwork(NewMemory()), Seed: 1,
		Own: []deathstarbench.Workload{
			{Name: "checkout", Method: "POST", Path: "/cart", Bytes: 2000},
			{Name: "items", Path: "/items/{id}"},
			{Name: "reviews", Path: "/items/reviews/{id}"},
			{Name: "absent", Path: "/absent"},
		},
		Server: deathstarbench.Server{Name: "a", Slots: 4, QueueLimit: 100,
			Service: map[string]deathstarbench.Duration{"checkout": short, "items": short, "reviews": short}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	call := func(method, path string) (int, int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, len(body)
	}
	for _, c := range []struct {
		name, method, path string
		status             int
	}{
		{"an exact path", "POST", "/cart?n=1", 200},
		{"another method", "GET", "/cart", 405},
		{"a path that goes on behind an exact one", "POST", "/cart/1", 404},
		{"a path with a placeholder", "GET", "/items/17", 200},
		{"the longer of two prefixes", "GET", "/items/reviews/3", 200},
		{"a service that this server has no time for", "GET", "/absent", 404},
		{"the social network is not served without times for it", "GET", deathstarbench.HomeTimelinePath, 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			if status, _ := call(c.method, c.path); status != c.status {
				t.Errorf("%s %s: got %d, want %d", c.method, c.path, status, c.status)
			}
		})
	}
	sum := 0
	const n = 200
	for range n {
		_, size := call("POST", "/cart")
		sum += size - 1
	}
	// Sizes have a coefficient of variation of 0.53: the mean of 200 of them is within 8 % at two standard errors.
	if mean := sum / n; mean < 1700 || mean > 2300 {
		t.Errorf("got answers of %d bytes on average, want about 2000", mean)
	}
}
