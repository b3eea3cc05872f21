package arena

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func FuzzParsePolicies(f *testing.F) {
	for _, s := range []string{"equal", "least_conn/l3, oracle", "least_time", "a/b/c", ",", "/", "equal,equal"} {
		f.Add(s)
	}
	choosers := Choosers(nil)
	f.Fuzz(func(t *testing.T, list string) {
		policies, err := ParsePolicies(list, choosers)
		if err != nil {
			return
		}
		var names []string
		for _, p := range policies {
			if p.New == nil || choosers[p.Chooser] == nil || p.Method != "" && !isMethod(p.Method) {
				t.Fatalf("%q: got %+v", list, p)
			}
			names = append(names, p.Name)
		}
		again, err := ParsePolicies(strings.Join(names, ","), choosers)
		if err != nil || len(again) != len(policies) {
			t.Fatalf("%q: its names parse to the same policies: got %v, %v", list, again, err)
		}
	})
}

func FuzzServer(f *testing.F) {
	f.Add(`{"scenario":"region","seed":1}`, `{"weights":{"compose_backend":[1,2,3]}}`)
	f.Add(`{"scenario":{"toml":"name = 1"}}`, `{"weights":{"compose_backend":[1e999]}}`)
	f.Add(`{"scenario":{}}`, `[`)
	f.Fuzz(func(t *testing.T, create, step string) {
		if strings.Contains(create, "toml") && len(create) > 200 {
			return // a scenario of the fuzzer's own may be large enough to take minutes
		}
		h := NewServer(SimOptions{}, 1).Handler()
		post := func(path, body string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			r.Host = "127.0.0.1:80"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%s %q: got status %d %s", path, body, w.Code, w.Body)
			}
			return w
		}
		made := post("/envs", create)
		var env struct{ Env string }
		if made.Code != http.StatusCreated || json.Unmarshal(made.Body.Bytes(), &env) != nil {
			return
		}
		if w := post("/envs/"+env.Env+"/step", step); w.Code == http.StatusOK && !bytes.Contains(w.Body.Bytes(),
			[]byte(`"reward"`)) {
			t.Fatalf("step %q: got %s", step, w.Body)
		}
	})
}
