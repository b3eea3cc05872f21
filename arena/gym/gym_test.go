package gym

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trimtab/deathstarbench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short is a built-in scenario in 30 s: ten control intervals.
func short(t testing.TB) *deathstarbench.Scenario {
	t.Helper()
	sc, err := deathstarbench.Load("capacity-1-2-4-40")
	if err != nil {
		t.Fatal(err)
	}
	if err := sc.Shorten(30*time.Second, 3*time.Second); err != nil {
		t.Fatal(err)
	}
	return sc
}

func TestEpisodesOfWeightsAreTruncatedAndRepeat(t *testing.T) {
	t.Parallel()
	play := func(seed uint64) (rewards []float64, last *Steps) {
		v, err := NewVec(Options{Env: WeightsID, Scenario: short(t), Envs: 3, MaxSteps: 4})
		if err != nil {
			t.Fatal(err)
		}
		obs, _, err := v.Reset([]uint64{seed, seed + 1, seed + 2})
		if err != nil {
			t.Fatal(err)
		}
		if w := v.Spec().Observation.Width(); len(obs[0]) != w || w != 3*3*len(perServer) ||
			len(v.Spec().Observation.Names) != w {
			t.Fatalf("observation of %d numbers, its space has %d", len(obs[0]), w)
		}
		action := slices.Repeat([]float64{10, 20, 40}, 3)
		for n := 1; n <= 4; n++ {
			s, err := v.Step([][]float64{action, action, action})
			if err != nil {
				t.Fatal(err)
			}
			if s.Terminated[0] || s.Truncated[0] != (n == 4) || (s.Final[0] != nil) != (n == 4) {
				t.Errorf("step %d of 4: got terminated %t, truncated %t, final %v", n, s.Terminated[0], s.Truncated[0],
					s.Final[0])
			}
			if share := s.Observations[0][2*len(perServer)]; n < 4 && math.Abs(share-4.0/7) > 1e-9 {
				t.Errorf("share of server c after weights 10:20:40: got %.4f, want 4/7", share)
			}
			rewards, last = append(rewards, s.Rewards...), s
		}
		return rewards, last
	}
	a, last := play(5)
	if b, _ := play(5); !slices.Equal(a, b) {
		t.Errorf("the same seeds: got rewards %v and %v", a, b)
	}
	if b, _ := play(500); slices.Equal(a, b) {
		t.Error("other seeds give the same rewards")
	}
	if slices.Equal(last.Observations[0], last.Final[0]) {
		t.Error("after an episode's end the next one began: got the last observation of the old one")
	}
}

// All jobs on a single server of rate 1 are served one after the other: the rewards sum to minus their sojourn times.
func TestParkIsPark(t *testing.T) {
	t.Parallel()
	p, err := newPark(ParkConfig{ServiceRates: []float64{1, 2}, Jobs: 300})
	if err != nil {
		t.Fatal(err)
	}
	obs, info, err := p.Reset(7)
	if err != nil {
		t.Fatal(err)
	}
	free, spent, sum := []float64{0, 0}, 0.0, 0.0
	for n := 0; ; n++ {
		now, size := info["curr_time"], obs[2]
		i := n % 2
		want := max(free[i]-now, 0) * p.cfg.ServiceRates[i]
		if math.Abs(obs[i]-min(want, p.cfg.Most)) > 1e-6*(1+want) {
			t.Fatalf("work at server %d before job %d: got %v, want %v", i, n, obs[i], want)
		}
		free[i] = max(free[i], now) + size/p.cfg.ServiceRates[i]
		spent += free[i] - now
		s, err := p.Step([]float64{float64(i)})
		if err != nil {
			t.Fatal(err)
		}
		sum += s.Reward
		obs, info = s.Observation, s.Info
		if s.Truncated {
			t.Fatal("truncated: want Park's end of all jobs, which is a termination")
		}
		if s.Terminated {
			if n != 299 {
				t.Errorf("terminated after %d jobs, want 300", n+1)
			}
			break
		}
	}
	if math.Abs(sum+spent) > 1e-6*spent {
		t.Errorf("sum of rewards: got %v, want minus the %v that jobs spent in the system", sum, spent)
	}
	if _, err := p.Step([]float64{0}); err == nil {
		t.Error("a step after the end: got no error")
	}
}

// serve starts a server.
func serve(t testing.TB, most int, now func() time.Time) string {
	t.Helper()
	srv := httptest.NewServer(NewServer(false, most, now).Handler())
	t.Cleanup(srv.Close)
	return srv.URL
}

// call posts a body and decodes the answer.
func call(t testing.TB, method, url, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatalf("%s %s: %q: %v", method, url, text, err)
		}
	}
	return resp.StatusCode, out
}

func TestClientsThatDoWrongAreToldSo(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	url := serve(t, 4, nil)
	status, made := call(t, "POST", url+"/v1/vec",
		`{"api": 1, "env": "trimtab/weights-v1", "scenario": "capacity-1-2-4-40", "num_envs": 2}`)
	if status != http.StatusCreated {
		t.Fatalf("make: got %d %v", status, made)
	}
	vec := url + "/v1/vec/" + made["id"].(string)
	good := `[1,2,4,1,2,4,1,2,4]`
	for _, c := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"a step before reset", vec + "/step", `{"actions": [` + good + `,` + good + `]}`, 400, "reset first"},
		{"too few actions", vec + "/step", `{"actions": [` + good + `]}`, 400, "1 actions for 2"},
		{"too many weights", vec + "/step", `{"actions": [` + good + `,[1,2,4,1,2,4,1,2,4,1]]}`, 400, "want 9"},
		{"a weight out of range", vec + "/step", `{"actions": [` + good + `,[0,2,4,1,2,4,1,2,4]]}`, 400,
			"want 1 to 100"},
		{"a number that is none", vec + "/step", `{"actions": [` + good + `,[NaN,2,4,1,2,4,1,2,4]]}`, 400,
			"read the request"},
		{"an action that is no list", vec + "/step", `{"actions": 3}`, 400, "read the request"},
		{"an unknown field", vec + "/step", `{"action": [1]}`, 400, "unknown field"},
		{"too few seeds", vec + "/reset", `{"seeds": [1]}`, 400, "1 seeds for 2"},
		{"another version", url + "/v1/vec", `{"api": 9, "env": "park/load_balance"}`, 400, "this server speaks 1"},
		{"an unknown environment", url + "/v1/vec", `{"env": "cartpole"}`, 400, "unknown environment"},
		{"no scenario", url + "/v1/vec", `{"env": "trimtab/weights-v1"}`, 400, "a scenario is wanted"},
		{"a file of this machine", url + "/v1/vec", `{"env": "trimtab/weights-v1", "scenario": "/etc/passwd"}`, 400,
			"no such scenario"},
		{"a file of this machine as an edge", url + "/v1/vec", `{"env": "trimtab/edge-v1", "scenario": "/etc/passwd"}`,
			400, "no such scenario"},
		{"a scenario that is no text", url + "/v1/vec", `{"env": "trimtab/autoscale-v1", "scenario": 3}`, 400,
			"want a name or"},
		{"a scenario that is none", url + "/v1/vec", `{"env": "trimtab/edge-v1", "scenario": {"toml": "x = 1"}}`, 400,
			"unknown key"},
		{"a method that no balancer has", url + "/v1/vec",
			`{"env": "trimtab/weights-v1", "scenario": "region", "method": "fair"}`, 400, "fair"},
		{"a scenario for Park", url + "/v1/vec", `{"env": "park/load_balance", "scenario": "region"}`, 400,
			"has no scenarios"},
		{"more environments than there may be", url + "/v1/vec", `{"env": "park/load_balance", "num_envs": 3}`, 429,
			"in use"},
		{"a Park of no rate", url + "/v1/vec", `{"env": "park/load_balance", "park": {"service_rates": [0]}}`, 400,
			"service rate 0"},
		{"environments that are not there", url + "/v1/vec/x/step", `{"actions": []}`, 404, "no such"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, out := call(t, "POST", c.path, c.body)
			if text, _ := out["error"].(string); status != c.status || !strings.Contains(text, c.want) {
				t.Errorf("got %d %v, want %d with %q", status, out, c.status, c.want)
			}
		})
	}
	// After all that the environments are whole.
	if status, out := call(t, "POST", vec+"/reset", `{"seed": 3}`); status != 200 {
		t.Fatalf("reset: got %d %v", status, out)
	}
	if status, out := call(t, "POST", vec+"/step", `{"actions": [`+good+`,`+good+`]}`); status != 200 ||
		len(out["rewards"].([]any)) != 2 {
		t.Errorf("a good step: got %d %v", status, out)
	}
	if status, _ := call(t, "DELETE", vec, ""); status != http.StatusNoContent {
		t.Errorf("delete: got %d", status)
	}
	if status, _ := call(t, "POST", vec+"/step", `{"actions": []}`); status != http.StatusNotFound {
		t.Errorf("a step after delete: got %d, want 404", status)
	}
}

// A name that a web page made point here (DNS rebinding) is another host.
func TestOnlyLocalProgramsAreServed(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	url := serve(t, 1, nil)
	for _, c := range []struct {
		name, host, origin string
		status             int
	}{
		{"loopback", "127.0.0.1", "", 200},
		{"another host name", "evil.example", "", 403},
		{"a page of another site", "127.0.0.1", "http://evil.example", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = c.host
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("got status %d, want %d", resp.StatusCode, c.status)
			}
		})
	}
}

func TestClientsThatGoAwayMakeRoom(t *testing.T) {
	t.Parallel()
	defer http.DefaultClient.CloseIdleConnections()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	url := serve(t, 2, func() time.Time { return now })
	body := `{"env": "park/load_balance", "num_envs": 2}`
	if status, out := call(t, "POST", url+"/v1/vec", body); status != http.StatusCreated {
		t.Fatalf("the first: got %d %v", status, out)
	}
	if status, _ := call(t, "POST", url+"/v1/vec", body); status != http.StatusTooManyRequests {
		t.Errorf("while it is in use: got %d, want 429", status)
	}
	now = now.Add(idleTime + time.Minute)
	if status, out := call(t, "POST", url+"/v1/vec", body); status != http.StatusCreated {
		t.Errorf("half an hour later: got %d %v, want 201", status, out)
	}
}

// python returns an interpreter that has the modules, or skips.
func python(t *testing.T, modules ...string) string {
	t.Helper()
	for _, p := range []string{os.Getenv("TRIMTAB_PYTHON"), "python3", "/usr/bin/python3"} {
		if p == "" {
			continue
		}
		code := "import sys; assert sys.version_info >= (3, 8)"
		for _, m := range modules {
			code += "; import " + m
		}
		if exec.CommandContext(t.Context(), p, "-c", code).Run() == nil {
			return p
		}
	}
	t.Skipf("no python3 with %v: set TRIMTAB_PYTHON, or install python3-numpy", modules)
	return ""
}

func TestThePythonClientPlaysAndLearns(t *testing.T) {
	examples, err := filepath.Abs("../../docs/examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		modules []string
		args    []string
		want    string
	}{
		{"the client checks itself without any module", nil, []string{"trimtab_gym.py"}, "contract holds"},
		{"it is a gymnasium.Env where that is installed", []string{"gymnasium", "numpy"},
			[]string{"trimtab_gym.py", "--gymnasium"}, "gymnasium.Env: True"},
		{"training with numpy alone improves on equal weights", []string{"numpy"},
			[]string{"train_numpy.py", "--iterations", "6"}, "better than equal weights"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := python(t, c.modules...)
			url := serve(t, 64, nil)
			cmd := exec.CommandContext(t.Context(), p, append([]string{filepath.Join(examples, c.args[0]), url},
				c.args[1:]...)...)
			cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("got %v, want %q in:\n%s", err, c.want, out)
			}
		})
	}
}

func TestSpecsSurviveJSON(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Env: WeightsID, Scenario: short(t)}, {Env: ParkID}, {Env: EdgeID, Edge: edgeCloud(t)},
		{Env: AutoscaleID, Autoscale: autoscaled(t)}} {
		t.Run(o.Env, func(t *testing.T) {
			v, err := NewVec(o)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(v.Spec())
			if err != nil {
				t.Fatal(err)
			}
			var back Spec
			if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, v.Spec()) {
				t.Errorf("got %+v, %v, want %+v", back, err, v.Spec())
			}
		})
	}
}
