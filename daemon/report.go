package daemon

import (
	"encoding/json"
	"time"

	"trimtab/hosts"
	"trimtab/weights"
)

// ReportSchema is the version of a Report's fields.
const ReportSchema = 2

// Report says what the daemon does now and what it decided last. It is what /explain answers.
type Report struct {
	Schema     int        `json:"schema_version"` // ReportSchema
	At         time.Time  `json:"at"`
	Learner    string     `json:"learner"`
	Held       string     `json:"held"` // why changes are held; empty: they are not
	Reason     string     `json:"reason"`
	Problem    string     `json:"problem"` // why the last step failed; empty: it did not
	LastChange *time.Time `json:"last_change_at"`
	// at the last sample, or as set last when the state file was read
	InForce  weights.Set `json:"weights_in_force"`
	Operator weights.Set `json:"weights_of_operator"` // what --on-exit restore returns to
	// what is ordered of single servers; whoever prints the report fills it in
	Orders      []string           `json:"orders"`
	ChangesMost int                `json:"changes_most"`     // that a full budget holds; 0: changes are not limited
	Wishes      []string           `json:"wishes,omitempty"` // what the configuration asks of single servers' shares
	Errors      map[string]Trouble `json:"errors"`           // by kind, of the daemon that was asked
	Hosts       []hosts.Reading    `json:"hosts,omitempty"`  // what the machines of servers said last, with its age
	// a tuner.Explanation; nil: nothing decided yet, or a learner that explains nothing
	Explanation json.RawMessage `json:"explanation"`
}

// report is what /explain says.
func (d *Service) report() Report {
	explanation := d.explanation()
	d.mu.Lock()
	defer d.mu.Unlock()
	r := Report{Schema: ReportSchema, At: time.Now(), Learner: d.session.cfg.Tuner.Learner, Held: d.held, Reason: d.reason,
		Problem: d.problem, Errors: d.troubles.all(), Explanation: explanation,
		InForce: relabel(d.inForce, label), Operator: relabel(d.base, label), Wishes: d.session.cfg.Wishes()}
	if b := d.session.cfg.Budget(0); !b.Unlimited {
		r.ChangesMost = b.Most
	}
	for _, h := range d.session.hosts.Now(r.At) {
		h.Server = label(h.Server)
		r.Hosts = append(r.Hosts, h)
	}
	if !d.lastMade.IsZero() {
		r.LastChange = &d.lastMade
	}
	return r
}
