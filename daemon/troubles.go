package daemon

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trimtab/plain"
)

// Kinds of errors that are counted, as /readyz and the metrics name them.
const (
	troubleTelemetry = "telemetry" // a step without telemetry
	troubleApply     = "apply"     // a change that was refused, or taken back
	troubleInternal  = "internal"  // a fault of the program itself
	troubleState     = "state"     // the state cannot be written
	troubleReload    = "reload"    // the daemon's own configuration is not taken over
	troubleNginx     = "nginx"     // NGINX's configuration cannot be read
	troubleOrders    = "orders"    // what is ordered is not in force
	troubleListen    = "listen"    // nobody can ask
)

var allTroubles = []string{troubleTelemetry, troubleApply, troubleInternal, troubleState, troubleReload, troubleNginx,
	troubleOrders, troubleListen}

// Trouble is what is known of the errors of one kind.
type Trouble struct {
	Count uint64     `json:"count"`
	Last  string     `json:"last"`
	At    time.Time  `json:"last_at"`
	Since *time.Time `json:"since"` // when it began; nil: it is over
}

// troubles counts errors by kind. Its methods may be called from several goroutines.
type troubles struct {
	mu    sync.Mutex
	kinds map[string]Trouble

	total       *prometheus.CounterVec
	last, since *prometheus.GaugeVec
}

func newTroubles(reg prometheus.Registerer) *troubles {
	t := &troubles{
		kinds: map[string]Trouble{},
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trimtab_errors_total", Help: "Errors by kind."},
			[]string{"kind"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "trimtab_error_last_timestamp_seconds",
			Help: "When the last error of the kind was; 0: there was none."}, []string{"kind"}),
		since: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "trimtab_error_since_timestamp_seconds",
			Help: "Since when there have been errors of the kind without an end; 0: there are none now."},
			[]string{"kind"}),
	}
	reg.MustRegister(t.total, t.last, t.since)
	for _, kind := range allTroubles {
		t.total.WithLabelValues(kind) // there from the start, so that the first error is a rise
		t.last.WithLabelValues(kind)
		t.since.WithLabelValues(kind)
	}
	return t
}

// note counts an error, or with nil says that those of the kind are over.
func (t *troubles) note(kind string, text string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, seen := t.kinds[kind]
	if text == "" {
		if seen && known.Since != nil {
			known.Since = nil
			t.kinds[kind] = known
			t.since.WithLabelValues(kind).Set(0)
		}
		return
	}
	if known.Since == nil {
		known.Since = &now
		t.since.WithLabelValues(kind).Set(seconds(now))
	}
	known.Count++
	known.Last, known.At = text, now
	t.kinds[kind] = known
	t.total.WithLabelValues(kind).Inc()
	t.last.WithLabelValues(kind).Set(seconds(now))
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1e3 }

// all are the kinds of which there were errors.
func (t *troubles) all() map[string]Trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.kinds)
}

// lines are one for each kind of which there were errors.
func (t *troubles) lines(now time.Time) (out []string) {
	kinds := t.all()
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		k := kinds[kind]
		state := fmt.Sprintf("over, the last %s ago", now.Sub(k.At).Round(time.Second))
		if k.Since != nil {
			state = fmt.Sprintf("since %s (%s)", k.Since.UTC().Format(time.RFC3339),
				now.Sub(*k.Since).Round(time.Second))
		}
		out = append(out, fmt.Sprintf("%s: %d errors, %s: %s", kind, k.Count, state,
			plain.Text(strings.ReplaceAll(k.Last, "\n", "; "))))
	}
	return out
}

// printTo writes them.
func (t *troubles) printTo(w io.Writer, now time.Time) {
	for _, line := range t.lines(now) {
		fmt.Fprintln(w, line)
	}
}

// trouble counts an error, without secrets; nil says that those of the kind are over.
func (d *Service) trouble(kind string, err error) {
	text := ""
	if err != nil {
		text = d.current().cfg.scrub(err.Error())
	}
	d.troubles.note(kind, text, time.Now())
}
