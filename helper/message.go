package helper

import (
	"errors"
	"time"

	"trimtab/nginx"
)

// Operations of a request.
const (
	opLook    = "look"
	opApply   = "apply"
	opRecover = "recover"
)

// request is what the worker asks for.
type request struct {
	Op   string         `json:"op"`
	Want nginx.Settings `json:"want,omitempty"`
	From nginx.Settings `json:"from,omitempty"` // what it was decided from
	// HasFrom tells an empty From from none.
	HasFrom bool `json:"has_from,omitempty"`
}

// reply is what the helper says: a question of its own while it works, or the result.
type reply struct {
	AskStatus bool `json:"ask_status,omitempty"` // what does the status page show? answered by a statusReply

	Look     *Look           `json:"look,omitempty"`
	Receipt  *nginx.Receipt  `json:"receipt,omitempty"`
	Recovery *nginx.Recovery `json:"recovery,omitempty"`
	Failure  *failure        `json:"failure,omitempty"`
}

// statusReply answers a question about the status page.
type statusReply struct {
	Status nginx.Status `json:"status"`
	Error  string       `json:"error,omitempty"`
}

// Look is what the worker may know of the configuration.
type Look struct {
	Upstreams []Upstream `json:"upstreams"` // those that may be changed
	LeftOut   []string   `json:"left_out"`  // and why the others may not
	Master    int        `json:"master"`    // 0: NGINX does not run
	Load      nginx.Load `json:"load"`
	Held      string     `json:"held"` // why no change may be made now: breaker, budget; empty: it may
}

// Upstream is an upstream as it stands in the configuration.
type Upstream struct {
	Name    string `json:"name"`
	Method  string `json:"method"`
	Servers []Peer `json:"servers"`
}

// Peer is a server line.
type Peer struct {
	Server string `json:"server"` // as NGINX prints it, or as written where that is not known
	Weight int    `json:"weight"`
	Down   bool   `json:"down"`
	Backup bool   `json:"backup"`
}

// failure carries an error over the socket with what callers branch on.
type failure struct {
	Text       string        `json:"text"`
	Refused    bool          `json:"refused,omitempty"`
	RetryAfter time.Duration `json:"retry_after_ns,omitempty"`
	Status     bool          `json:"status,omitempty"`      // nginx.ErrStatus
	RolledBack bool          `json:"rolled_back,omitempty"` // the change was taken back
	Restore    string        `json:"restore,omitempty"`     // or could not be
}

func failureOf(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Text: err.Error(), Status: errors.Is(err, nginx.ErrStatus)}
	if r := (*nginx.Refusal)(nil); errors.As(err, &r) {
		f.Refused, f.Text, f.RetryAfter = true, r.Reason, r.RetryAfter
	}
	if r := (*nginx.RollbackError)(nil); errors.As(err, &r) {
		f.RolledBack, f.Text = true, r.Cause.Error()
		if r.Restore != nil {
			f.Restore = r.Restore.Error()
		}
	}
	return f
}

func (f *failure) err() error {
	switch {
	case f == nil:
		return nil
	case f.RolledBack && f.Restore != "":
		return &nginx.RollbackError{Cause: errors.New(f.Text), Restore: errors.New(f.Restore)}
	case f.RolledBack:
		return &nginx.RollbackError{Cause: errors.New(f.Text)}
	case f.Refused:
		return &nginx.Refusal{Reason: f.Text, RetryAfter: f.RetryAfter}
	case f.Status:
		return &statusError{f.Text}
	}
	return errors.New(f.Text)
}

// statusError is nginx.ErrStatus with the text that the helper gave it.
type statusError struct{ text string }

func (e *statusError) Error() string { return e.text }
func (e *statusError) Unwrap() error { return nginx.ErrStatus }
