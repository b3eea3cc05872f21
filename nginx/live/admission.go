package live

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"trimtab/nginx/lua"
)

// Admission refuses a share of the requests of upstreams in NGINX's access phase. What is refused there never reaches a
// server. It may be used from several goroutines.
type Admission struct {
	Actuator *Actuator // whose control call it uses
	// Hold is how long a share is in force unless it is set again: when the daemon is gone, everybody is let in. At
	// most an hour; 0 means 15 s.
	Hold time.Duration
	// Status is that of a refused request, 503 or 429; 0 means 503.
	Status int
	// RetryAfter is what refused clients are told; less than a second means 1 s.
	RetryAfter time.Duration
}

// DefaultAdmissionHold is how long a share is in force unless it is set again.
const DefaultAdmissionHold = 15 * time.Second

// AdmissionState is what admission does to one upstream now.
type AdmissionState struct {
	Share   float64 `json:"share"`
	LeftSec float64 `json:"left_s"` // until everybody is let in
	Offered uint64  `json:"offered"`
	Refused uint64  `json:"refused"` // both since NGINX started, over all workers
}

// State asks for what is in force, by upstream.
func (a Admission) State(ctx context.Context) (map[string]AdmissionState, error) {
	return a.call(ctx, http.MethodGet, nil)
}

// Admit sets the shares that are refused, 0…1, by upstream, for Hold; those of other upstreams stay, and run out.
func (a Admission) Admit(ctx context.Context, blocked map[string]float64) error {
	if len(blocked) == 0 {
		return nil
	}
	hold, status := a.Hold, a.Status
	if hold == 0 {
		hold = DefaultAdmissionHold
	}
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(blocked)) {
		share := blocked[name]
		if !(share >= 0 && share <= 1) {
			return refuse("upstream %q: blocked share %v: want 0 to 1", name, share)
		}
		fmt.Fprintf(&b, "%s %.6f %.3f %d %d\n", name, share, hold.Seconds(), status,
			int(math.Max(1, math.Ceil(a.RetryAfter.Seconds()))))
	}
	now, err := a.call(ctx, http.MethodPut, b.Bytes())
	if err != nil {
		return err
	}
	for name, share := range blocked {
		if got := now[name].Share; math.Abs(got-share) > 1e-5 {
			return fmt.Errorf("admission: it took the call, but upstream %q is refused %v of its requests, not %v",
				name, got, share)
		}
	}
	return nil
}

// Release lets everybody in.
func (a Admission) Release(ctx context.Context) error {
	_, err := a.call(ctx, http.MethodDelete, nil)
	return err
}

func (a Admission) call(ctx context.Context, method string, body []byte) (map[string]AdmissionState, error) {
	text, err := a.Actuator.ask(ctx, method, lua.AdmissionPath, body)
	if err != nil {
		return nil, fmt.Errorf("admission: %w", err)
	}
	var s struct {
		Format    int                       `json:"format"`
		Upstreams map[string]AdmissionState `json:"upstreams"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("admission at %s: reply: %w", a.Actuator.config.Address, err)
	}
	if s.Format != 1 {
		return nil, fmt.Errorf("admission at %s: format %d, want 1: run trimtab nginx live install and reload NGINX",
			a.Actuator.config.Address, s.Format)
	}
	return s.Upstreams, nil
}
