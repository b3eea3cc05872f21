package socialnet

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"go.uber.org/goleak"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/requests"
)

func TestMain(m *testing.M) {
	// net/http lingers for half a second on a connection whose request it did not read to the end.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// quick is a server whose services are short.
func quick() deathstarbench.Server {
	return deathstarbench.Server{
		Name: "a", Slots: 4, QueueLimit: 100,
		Service: map[string]deathstarbench.Duration{
			deathstarbench.ComposePost:      deathstarbench.Duration(100 * time.Microsecond),
			deathstarbench.ReadHomeTimeline: deathstarbench.Duration(100 * time.Microsecond),
			deathstarbench.ReadUserTimeline: deathstarbench.Duration(100 * time.Microsecond),
		},
	}
}

// startQuick starts a server and returns a client of it that leaves no connection behind.
func startQuick(t *testing.T, v deathstarbench.Server) (*Server, *http.Client) {
	t.Helper()
	s, err := StartServer(ServerConfig{Server: v, Network: NewNetwork(NewMemory()), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		s.Stop()
	})
	return s, client
}

func get(t *testing.T, client *http.Client, req *http.Request, err error) (int, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := readAll(resp)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func readAll(resp *http.Response) (string, error) {
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// Every request of every workload is one that the emulator answers with 200.
func TestServerAnswersEveryWorkload(t *testing.T) {
	s, client := startQuick(t, quick())
	for _, workload := range append(deathstarbench.Workloads(), deathstarbench.Mixed) {
		targeter, err := requests.NewTargeter(workload, "http://"+s.Addr(), requests.TargetOptions{Users: 5, Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			var target vegeta.Target
			if err := targeter(&target); err != nil {
				t.Fatal(err)
			}
			req, err := target.Request()
			status, body := get(t, client, req, err)
			if status != http.StatusOK {
				t.Fatalf("%s %s: got %d %q, want 200", target.Method, target.URL, status, body)
			}
			switch {
			case strings.Contains(target.URL, "compose"):
				if body != "Successfully upload post\n" {
					t.Errorf("compose: got %q", body)
				}
			case !json.Valid([]byte(body)):
				t.Errorf("%s: not JSON: %s", target.URL, body)
			}
		}
	}
}
