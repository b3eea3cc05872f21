package deathstarbench

import (
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Workload is a service of one's own beside the three workloads of the social network: what its requests look like and
// how large its answers are. How long servers take for it stands in their service times, by its name.
type Workload struct {
	Name   string `toml:"name"`
	Method string `toml:"method"` // empty: GET
	// Path is what is asked for, with a query if need be. Placeholders are filled in for every request: {id} is a
	// whole number below 1000, {seq} the number of the request, {text:N} N letters and digits.
	Path  string `toml:"path"`
	Body  string `toml:"body"`  // of the request, with placeholders; empty: none
	Bytes int    `toml:"bytes"` // mean size of the answers; 0 means DefaultAnswerBytes
}

// DefaultAnswerBytes is the mean size of the answers of a workload that names none.
const DefaultAnswerBytes = 1000

const (
	sizeSD        = 0.5 // standard deviation of the logarithm of an answer's size
	largestAnswer = 4.0 // times the mean
	mostBytes     = 16 << 20
	mostText      = 4096 // characters of {text:N}
)

// placeholder is what is filled in: {id}, {seq}, {text:N}. Other braces stand for themselves, as in JSON.
var placeholder = regexp.MustCompile(`\{(id|seq|text:([0-9]+))\}`)

// PlaceholderID, PlaceholderSeq and PlaceholderText are the kinds of a Piece that is filled in.
const (
	PlaceholderID   = "id"
	PlaceholderSeq  = "seq"
	PlaceholderText = "text"
)

// Piece is a part of a template: literal text, or a placeholder of a kind.
type Piece struct {
	Literal string
	Kind    string // empty: literal
	Length  int    // of PlaceholderText, characters
}

// Pieces takes a template apart.
func Pieces(template string) []Piece {
	var out []Piece
	from := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(template, -1) {
		if m[0] > from {
			out = append(out, Piece{Literal: template[from:m[0]]})
		}
		p := Piece{Kind: template[m[2]:m[3]]}
		if m[4] >= 0 {
			p.Kind = PlaceholderText
			p.Length, _ = strconv.Atoi(template[m[4]:m[5]]) // too large a number is a fault of the scenario
		}
		out, from = append(out, p), m[1]
	}
	if from < len(template) {
		out = append(out, Piece{Literal: template[from:]})
	}
	return out
}

// Verb is the method of the requests.
func (w *Workload) Verb() string {
	if w.Method == "" {
		return http.MethodGet
	}
	return w.Method
}

// Repeatable reports whether a request may be sent to another server after it was lost with its first: NGINX does so
// with all but POST, LOCK and PATCH.
func (w *Workload) Repeatable() bool {
	return w.Verb() != http.MethodPost && w.Verb() != http.MethodPatch
}

// Location is the part of the path that is the same for all requests, without a query; whole says that nothing follows
// it but a query.
func (w *Workload) Location() (path string, whole bool) {
	path, _, _ = strings.Cut(w.Path, "?")
	if at := placeholder.FindStringIndex(path); at != nil {
		return path[:at[0]], false
	}
	return path, true
}

// AnswerBytes is the size of an answer, given a standard normal number: lognormal around the mean, at most four times
// as large.
func (w *Workload) AnswerBytes(normal float64) int {
	mean := float64(w.Bytes)
	if w.Bytes == 0 {
		mean = DefaultAnswerBytes
	}
	return int(math.Min(mean*math.Exp(sizeSD*normal-sizeSD*sizeSD/2), largestAnswer*mean))
}

// RequestBytes is about how large a request is on the wire: line, headers and body.
func (w *Workload) RequestBytes() int {
	const headers = 100
	n := headers
	for _, p := range append(Pieces(w.Path), Pieces(w.Body)...) {
		switch p.Kind {
		case PlaceholderText:
			n += p.Length
		case "":
			n += len(p.Literal)
		default:
			n += 3
		}
	}
	return n
}

// Own returns the workload of that name of the scenario's own, or nil.
func (s *Scenario) Own(name string) *Workload {
	for i := range s.Workloads {
		if s.Workloads[i].Name == name {
			return &s.Workloads[i]
		}
	}
	return nil
}

// WorkloadNames are the workloads that the scenario can use: those of the social network, then its own.
func (s *Scenario) WorkloadNames() []string {
	names := Workloads()
	for i := range s.Workloads {
		names = append(names, s.Workloads[i].Name)
	}
	return names
}

func (s *Scenario) isWorkload(name string) bool {
	return name != "" && slices.Contains(s.WorkloadNames(), name)
}

// checkWorkloads wants requests that can be written into nginx.conf and told from each other by their paths.
func (s *Scenario) checkWorkloads(c *checker) {
	seen := map[string]bool{Mixed: true}
	for _, name := range Workloads() {
		seen[name] = true
	}
	methods := []string{"", http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	taken := map[string]string{}
	for i := range s.Workloads {
		w := &s.Workloads[i]
		at := fmt.Sprintf("workload[%d].", i)
		checkName(c, at+"name", "workload", w.Name, seen)
		c.want(slices.Contains(methods, w.Method), at+"method", "%q: want one of %s", w.Method,
			strings.Join(methods[1:], ", "))
		c.want(w.Body == "" || w.Verb() != http.MethodGet, at+"body", "GET has no body: name another method")
		c.want(w.Bytes >= 0 && w.Bytes <= mostBytes, at+"bytes", "%d: want 0 to %d", w.Bytes, mostBytes)
		c.want(strings.HasPrefix(w.Path, "/"), at+"path", "%q: want a path such as \"/cart\"", w.Path)
		bare := placeholder.ReplaceAllString(w.Path, "")
		c.want(!strings.ContainsFunc(bare, notInPath), at+"path", "%q: want visible ASCII without quotes, braces, "+
			"';', '#', '$' and '\\'; placeholders are {id}, {seq} and {text:N}", w.Path)
		for _, p := range append(Pieces(w.Path), Pieces(w.Body)...) {
			c.want(p.Kind != PlaceholderText || p.Length >= 1 && p.Length <= mostText, at+"body",
				"{text:N}: want N from 1 to %d", mostText)
		}
		path, _ := w.Location()
		if len(w.Path) > 0 {
			other, twice := taken[path]
			c.want(!twice, at+"path", "%s is already that of workload %q: a location of NGINX tells them by their path",
				path, other)
			taken[path] = w.Name
		}
		c.want(path != "/status/format/json" && !strings.HasPrefix(path, "/wrk2-api/"), at+"path",
			"%s is taken: by the status page, or by the social network", path)
	}
}

func notInPath(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'`{};#$\\", r) }
