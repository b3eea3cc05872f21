package loadgen

import "time"

// Result is what became of one request. All offsets are from the start of the attack.
type Result struct {
	Workload int           // index into Config.Workloads
	Burst    int           // index into Workload.Bursts
	Seq      uint64        // number of the request within its burst, from 0
	Due      time.Duration // when it was due
	Latency  time.Duration // from due to the complete answer
	Raw      time.Duration // from the start of sending to the complete answer
	Lateness time.Duration // from due to the start of sending
	Code     int           // HTTP status, 0 when no answer came
	Failure  Failure       // Success when the status is 2xx or 3xx
	BytesIn  uint64        // of the body received
	BytesOut uint64        // of the body sent
	Method   string
	URL      string
	Error    string // what went wrong, in words; empty on success
}

// Failure is the kind of failure of a request.
type Failure uint8

// The kinds of failure.
const (
	Success     Failure = iota
	ClientError         // status 4xx
	ServerError         // status 5xx
	BadStatus           // any other status outside 2xx and 3xx
	Refused             // connection refused
	Unreachable         // no route, no such socket, no free local port
	DNS                 // name not resolved
	TLS                 // handshake or certificate
	Timeout             // no complete answer within the timeout
	Reset               // connection reset by the other side
	Closed              // connection closed before the answer was complete
	Malformed           // an answer that is not HTTP
	TooLarge            // a body beyond the limit
	Canceled            // given up at the end of the attack
	BadTarget           // the request could not be built
	Other
	failures // their number
)

var failureNames = [failures]string{"none", "status_4xx", "status_5xx", "status_other", "refused", "unreachable", "dns",
	"tls",
	"timeout", "reset", "closed", "malformed", "too_large", "canceled", "bad_target", "other"}

// String returns the name of the kind as it stands in reports.
func (f Failure) String() string {
	if int(f) < len(failureNames) {
		return failureNames[f]
	}
	return "other"
}
