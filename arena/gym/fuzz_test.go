package gym

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func FuzzServer(f *testing.F) {
	f.Add(`{"env":"trimtab/weights-v1","scenario":"region"}`, `{"actions":[[1,2,3,1,2,3,1,2,3]]}`)
	f.Add(`{"env":"trimtab/weights-v1","scenario":{"toml":"name = 1"}}`, `{"actions":[[1e999]]}`)
	f.Add(`{"env":"trimtab/edge-v1"}`, `{"actions":[[1]]}`)
	f.Add(`{"env":"trimtab/autoscale-v1"}`, `{"actions":[[1,1,1,1,1,1,1,1]]}`)
	f.Add(`{"env":"park/load_balance","park":{"jobs":3}}`, `{"actions":[[0]]}`)
	f.Add(`{"scenario":{}}`, `[`)
	f.Fuzz(func(t *testing.T, create, step string) {
		if (strings.Contains(create, "toml") || strings.Contains(create, "park")) && len(create) > 200 {
			return // a world of the fuzzer's own may be large enough to take minutes
		}
		h := NewServer(false, 2, nil).Handler()
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
		made := post("/v1/vec", create)
		var vec struct{ ID string }
		if made.Code != http.StatusCreated || json.Unmarshal(made.Body.Bytes(), &vec) != nil {
			return
		}
		post("/v1/vec/"+vec.ID+"/reset", `{"seed":1}`)
		if w := post("/v1/vec/"+vec.ID+"/step", step); w.Code == http.StatusOK && !bytes.Contains(w.Body.Bytes(),
			[]byte(`"rewards"`)) {
			t.Fatalf("step %q: got %s", step, w.Body)
		}
	})
}
