package localhttp

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Read decodes the JSON body of a request, of at most so many bytes and without unknown fields. When it cannot it
// answers 400 with why and returns false.
func Read(w http.ResponseWriter, r *http.Request, most int64, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		Fail(w, http.StatusBadRequest, fmt.Errorf("read the request: %w", err))
		return false
	}
	return true
}

// Reply answers with a body as JSON.
func Reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only when the client has gone
}

// Fail answers with {"error": text}.
func Fail(w http.ResponseWriter, status int, err error) {
	Reply(w, status, map[string]string{"error": err.Error()})
}
