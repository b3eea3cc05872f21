package page

import (
	"encoding/json"
	"time"
)

// Schema is the version of what the page is given.
const Schema = 1

// About says what a page is of.
type About struct {
	Title   string    `json:"title"`
	Host    string    `json:"host,omitempty"`
	Target  string    `json:"target,omitempty"` // which NGINX
	Version string    `json:"trimtab_version"`
	NGINX   string    `json:"nginx_version,omitempty"`
	Command string    `json:"command,omitempty"`
	Seed    uint64    `json:"seed,omitempty"`
	Started time.Time `json:"started"`
}

// State is what is so now.
type State struct {
	Schema    int       `json:"schema"`
	About     About     `json:"about"`
	Seq       uint64    `json:"seq"` // rises with every step
	Run       string    `json:"run"` // changes with every start: what was asked for before is void
	At        time.Time `json:"at"`
	IntervalS float64   `json:"interval_s"`
	Learner   string    `json:"learner,omitempty"`
	Status    Status    `json:"status"`
	Budget    string    `json:"budget,omitempty"`
	Regime    []string  `json:"regime,omitempty"`
	// Objective is what is pursued and how that goes, in lines; nil: nothing but short response times.
	Objective []string   `json:"objective,omitempty"`
	Why       []Why      `json:"why,omitempty"`
	Upstreams []Upstream `json:"upstreams"`
	More      int        `json:"more_upstreams,omitempty"` // that are not listed
	Changes   []Change   `json:"changes"`
	LeftOut   []string   `json:"left_out,omitempty"`
	Orders    []string   `json:"orders,omitempty"`
	// Configured is what the configuration says of single servers' shares.
	Configured []string  `json:"configured,omitempty"`
	Errors     []string  `json:"errors,omitempty"` // by kind: how many, since when, the last one
	Proof      *Proof    `json:"proof,omitempty"`
	Hold       HoldState `json:"hold"`
}

// Status is whether changes pass, in one sentence, and what somebody can do about it.
type Status struct {
	Level string `json:"level"` // ok, wait, hold, fail
	Text  string `json:"text"`
	Todo  string `json:"todo,omitempty"`
}

// HoldState is what the buttons know.
type HoldState struct {
	Possible bool `json:"possible"` // there is a token
	Held     bool `json:"held"`     // by the hold file
}

// Why is the last decision for groups that share servers.
type Why struct {
	Groups    []string `json:"groups"`
	Sentences []string `json:"sentences"`
}

// Upstream is one upstream. Key tells it from others, Name is fit to be shown.
type Upstream struct {
	Key        string   `json:"key"`
	Name       string   `json:"name"`
	Servers    int      `json:"servers"`
	RatePerSec float64  `json:"rate_per_s"`
	P50        *float64 `json:"p50_ms"` // null: not known
	P99        *float64 `json:"p99_ms"`
	Mean       *float64 `json:"mean_ms"`
	Errors     float64  `json:"error_share"`
	Used       *float64 `json:"capacity_used"` // of its servers' slots
	// share of the requests that goes elsewhere than the operator's weights would send it
	Moved  float64  `json:"moved"`
	States []string `json:"states,omitempty"`
	Why    int      `json:"why"` // index in State.Why; −1: none
}

// Server is one server of an upstream.
type Server struct {
	Name          string   `json:"name"`
	Weight        int      `json:"weight"`
	Share         float64  `json:"share"`
	OperatorShare *float64 `json:"operator_share"`
	Got           *float64 `json:"got_share"` // of the requests of the last interval
	RatePerSec    float64  `json:"rate_per_s"`
	P50           *float64 `json:"p50_ms"`
	P99           *float64 `json:"p99_ms"`
	Mean          *float64 `json:"mean_ms"`
	Errors        *float64 `json:"error_share"`
	Slots         *float64 `json:"slots"`
	Used          *float64 `json:"utilisation"`
	CapacityPerS  *float64 `json:"capacity_per_s"`
	ServiceMS     *float64 `json:"service_ms"`
	SD            *float64 `json:"service_relative_sd"` // of ServiceMS, and so of capacity and utilisation
	States        []string `json:"states,omitempty"`
}

// Detail is one upstream with its servers and what is new of its history.
type Detail struct {
	Key     string   `json:"key"`
	Servers []Server `json:"servers"`
	More    int      `json:"more_servers,omitempty"`
	Series  Series   `json:"series"`
}

// Series is the history of an upstream from a point on. Values are null where nothing is known.
type Series struct {
	From   uint64       `json:"from"` // number of the first point
	T      []float64    `json:"t"`    // unix time, s
	P50    []*float32   `json:"p50_ms"`
	P99    []*float32   `json:"p99_ms"`
	Rate   []*float32   `json:"rate_per_s"`
	Errors []*float32   `json:"error_share"`
	Regime []int16      `json:"regime"`
	Names  []string     `json:"names"`  // of servers
	Shares [][]*float32 `json:"shares"` // by server, in the order of Names
}

// Change is a change of weights.
type Change struct {
	Seq      uint64   `json:"seq"` // step in which it was made
	At       float64  `json:"at"`  // unix time, s
	Cause    string   `json:"cause"`
	Moves    []string `json:"moves"`
	Keys     []string `json:"upstreams"`
	Reason   string   `json:"reason,omitempty"`
	Expected string   `json:"expected,omitempty"`
	Measured string   `json:"measured,omitempty"`
	Undo     string   `json:"undo,omitempty"`
	Reloaded bool     `json:"reloaded,omitempty"`
}

// Proof is the experiment.
type Proof struct {
	Headline string          `json:"headline"`
	Progress string          `json:"progress"`
	Running  bool            `json:"running"`
	Result   json.RawMessage `json:"result,omitempty"` // in files only
}

// Live is what the live page is given at once.
type Live struct {
	State  State   `json:"state"`
	Detail *Detail `json:"detail,omitempty"`
}

// Data is what a page in a file holds.
type Data struct {
	Report  *Report  `json:"report,omitempty"`
	State   *State   `json:"state,omitempty"`
	Details []Detail `json:"details,omitempty"`
}

// Report is a result that has its end: of a run, a load, an experiment, a comparison.
type Report struct {
	Title    string      `json:"title"`
	Headline string      `json:"headline"`
	Warning  string      `json:"warning,omitempty"`
	Facts    [][2]string `json:"facts"`
	Tables   []Table     `json:"tables"`
	Charts   []Chart     `json:"charts"`
	Notes    []string    `json:"notes,omitempty"`
}

// Table has a caption and cells; the first column is text.
type Table struct {
	Caption string     `json:"caption"`
	Head    []string   `json:"head"`
	Rows    [][]string `json:"rows"`
}

// Chart is lines over time or whatever X is.
type Chart struct {
	Title string     `json:"title"`
	XName string     `json:"x_name"`
	Unit  string     `json:"unit"`
	Log   bool       `json:"log"`
	X     []float64  `json:"x"`
	Lines []Line     `json:"lines"`
	Marks []Mark     `json:"marks,omitempty"`
	Bands []BandMark `json:"bands,omitempty"` // intervals about single points
}

// Line is one line of a chart; null where there is no value.
type Line struct {
	Name   string     `json:"name"`
	Values []*float64 `json:"values"`
}

// Mark is a moment.
type Mark struct {
	X    float64 `json:"x"`
	Text string  `json:"text"`
}

// BandMark is an interval of values at a point.
type BandMark struct {
	X    float64 `json:"x"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}
