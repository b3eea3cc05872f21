package requests

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/deathstarbench"
)

// ids is how many values {id} has.
const ids = 1000

// NewOwnTargeter returns a targeter of a scenario's own workload for the servers at baseURL. It is safe for concurrent
// use: the n-th call gets the n-th request whoever calls, and the same seed gives the same requests.
func NewOwnTargeter(w *deathstarbench.Workload, baseURL string, seed uint64) (vegeta.Targeter, error) {
	if !strings.HasPrefix(baseURL, "http://") && !strings.HasPrefix(baseURL, "https://") {
		return nil, fmt.Errorf("workload %s: target %q: want a URL such as http://127.0.0.1:8080", w.Name, baseURL)
	}
	r := &requests{rng: rand.New(rand.NewPCG(seed, 0x0117ce5ce5))}
	path := deathstarbench.Pieces(strings.TrimRight(baseURL, "/") + w.Path)
	body := deathstarbench.Pieces(w.Body)
	header := http.Header{}
	if w.Body != "" {
		header.Set("Content-Type", contentType(w.Body))
	}
	method, seq := w.Verb(), 0
	return func(t *vegeta.Target) error {
		if t == nil {
			return vegeta.ErrNilTarget
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		seq++
		t.Method, t.Header, t.Body = method, header, nil
		t.URL = string(r.fill(path, seq))
		if len(body) > 0 {
			t.Body = append([]byte(nil), r.fill(body, seq)...)
		}
		return nil
	}, nil
}

// contentType is JSON for what looks like it, else a form.
func contentType(body string) string {
	if s := strings.TrimSpace(body); strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[") {
		return "application/json"
	}
	return "application/x-www-form-urlencoded"
}

// fill fills in a template; the result is good until the next call.
func (r *requests) fill(template []deathstarbench.Piece, seq int) []byte {
	b := r.buf[:0]
	for i := range template {
		switch p := &template[i]; p.Kind {
		case deathstarbench.PlaceholderID:
			b = strconv.AppendInt(b, int64(r.rng.IntN(ids)), 10)
		case deathstarbench.PlaceholderSeq:
			b = strconv.AppendInt(b, int64(seq), 10)
		case deathstarbench.PlaceholderText:
			b = r.appendRandom(b, alphanumerics, p.Length)
		default:
			b = append(b, p.Literal...)
		}
	}
	r.buf = b
	return b
}
