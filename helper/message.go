package helper

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"trimtab/nginx"
)

// Operations of a request. Those of the first group may take long and are asked for over the socket for changes.
const (
	opApply   = "apply"   // change weights
	opOrder   = "order"   // change weights as the operator has ordered
	opRecover = "recover" // undo what a crash has left
	opTest    = "test"    // run nginx -t on what is on the disk
	opScale   = "scale"   // have the operator's program change the capacity of servers
	opUnits   = "units"   // what servers have, as that program says
	opAdmit   = "admit"   // refuse shares of requests by the operator's limit_req_zones
	opRelease = "release" // put the operator's rates back

	opCancel   = "cancel"   // end what is under way on the other socket, unless it has to be finished
	opLook     = "look"     // the upstreams as they stand in the files
	opStanding = "standing" // why nothing may be changed now, and what NGINX's processes weigh
	opLoaded   = "loaded"   // the upstreams as NGINX has loaded them
	opEdits    = "edits"    // what others have changed in the files since the last question
	opAnswers  = "answers"  // is the far end of this connection NGINX?
	opSettings = "settings" // the daemon's own configuration, read anew
	opAdopt    = "adopt"    // those settings count from now on
	opFile     = "file"     // a file that the settings name
	opListen   = "listen"   // the socket that the settings name
	opNotify   = "notify"   // tell systemd
	opHold     = "hold"     // is there a hold file? or make it or remove it, where the settings let the page do so
)

// request is what the worker asks for.
type request struct {
	Op   string         `json:"op"`
	Want nginx.Settings `json:"want,omitempty"`
	From nginx.Settings `json:"from,omitempty"` // what it was decided from
	// HasFrom tells an empty From from none.
	HasFrom  bool   `json:"has_from,omitempty"`
	LoadMsec int64  `json:"load_msec,omitempty"` // of opLoaded
	Key      string `json:"key,omitempty"`       // of opFile: which file, as the settings call it
	State    string `json:"state,omitempty"`     // of opNotify
	Dry      bool   `json:"dry,omitempty"`       // of opStanding: nothing is to be written
	Hold     *bool  `json:"hold,omitempty"`      // of opHold: whether it is to be there; nil: as it is
	Socket   bool   `json:"socket,omitempty"`    // a socket follows

	Units   map[string]int     `json:"units,omitempty"`         // of opScale, by server
	Blocked map[string]float64 `json:"blocked,omitempty"`       // of opAdmit: shares by upstream
	Offered map[string]float64 `json:"offered_per_s,omitempty"` // of opAdmit
}

// reply is what the helper says: a question of its own while it works, or the result.
type reply struct {
	AskStatus bool `json:"ask_status,omitempty"` // what does the status page show? answered by a statusReply
	// AskOrigin wants a connection on which the status page is answering, as a statusReply with a socket, and another
	// statusReply, of how it ended, after the Seen that follows.
	AskOrigin bool `json:"ask_origin,omitempty"`
	Seen      bool `json:"seen,omitempty"`

	Look      *Look           `json:"look,omitempty"`
	Standing  *Standing       `json:"standing,omitempty"`
	Upstreams []Upstream      `json:"upstreams,omitempty"`
	Edits     []Edit          `json:"edits,omitempty"`
	Receipt   *nginx.Receipt  `json:"receipt,omitempty"`
	Recovery  *nginx.Recovery `json:"recovery,omitempty"`
	Tried     bool            `json:"tried,omitempty"`
	Units     map[string]int  `json:"units,omitempty"`
	Held      string          `json:"held,omitempty"` // of opHold
	Path      string          `json:"path,omitempty"` // of the settings
	Text      []byte          `json:"text,omitempty"` // of the settings, or of a file
	Socket    bool            `json:"socket,omitempty"`
	Failure   *failure        `json:"failure,omitempty"`
}

// statusReply answers a question about the status page.
type statusReply struct {
	Status nginx.Status `json:"status"`
	Error  string       `json:"error,omitempty"`
	Socket bool         `json:"socket,omitempty"` // a socket follows
}

// failure carries an error over the socket with what callers branch on.
type failure struct {
	Text       string        `json:"text"`
	Refused    bool          `json:"refused,omitempty"`
	RetryAfter time.Duration `json:"retry_after_ns,omitempty"`
	Status     bool          `json:"status,omitempty"`      // nginx.ErrStatus
	ReadOnly   bool          `json:"read_only,omitempty"`   // EROFS
	RolledBack bool          `json:"rolled_back,omitempty"` // the change was taken back
	Restore    string        `json:"restore,omitempty"`     // or could not be
}

func failureOf(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Text: err.Error(), Status: errors.Is(err, nginx.ErrStatus), ReadOnly: errors.Is(err, unix.EROFS)}
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
		return &meant{f.Text, nginx.ErrStatus}
	case f.ReadOnly:
		return &meant{f.Text, unix.EROFS}
	}
	return errors.New(f.Text)
}

// meant is another error with the text that the helper gave it.
type meant struct {
	text string
	is   error
}

func (e *meant) Error() string { return e.text }
func (e *meant) Unwrap() error { return e.is }
