package nginx

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"
)

// MaxWeight is the largest weight that is written: some balancers allocate memory in proportion to it.
const MaxWeight = 100

// Setting is what is wanted for one server of an upstream. It may be wrong, so that a plan can refuse it with the
// reason; a weights.Setting cannot.
type Setting struct {
	Weight int  `json:"weight"` // 1 to MaxWeight
	Down   bool `json:"down"`
}

// Settings holds what is wanted: upstream name, server (as printed by NGINX or as written), setting. Servers that are
// not named keep what they have.
type Settings map[string]map[string]Setting

// Refusal is a change that will not be made, with the reason for people. Nothing has been changed.
type Refusal struct {
	Reason string
	// RetryAfter is when it may pass without anyone doing anything; 0: someone has to act first.
	RetryAfter time.Duration
}

func (r *Refusal) Error() string { return "refused: " + r.Reason }

func refuse(format string, args ...any) error { return &Refusal{Reason: fmt.Sprintf(format, args...)} }

// PlanOptions are the limits of a plan.
type PlanOptions struct {
	// Eject allows the word down to be added, and to be removed again where Ejected says that it is Trimtab's own.
	Eject bool
	// Ejected reports whether the word down of that server was written by Trimtab; nil: none was.
	Ejected func(upstream, server string) bool
}

// Plan is which bytes of which files change.
type Plan struct {
	Config *Config
	Files  []FileChange
	// Weights is what every server of the upstreams named in the settings has after the change, by Peer.Label.
	Weights Settings
	// Notes are things the operator should know that do not stand in the way.
	Notes []string
}

// FileChange is the change of one file.
type FileChange struct {
	File  *File
	Edits []Edit // by rising offset, not overlapping
}

// Edit replaces Old, which stands at Offset, by New.
type Edit struct {
	Offset   int
	Old, New string
}

// Empty reports whether nothing has to be written.
func (p *Plan) Empty() bool { return len(p.Files) == 0 }

// Plan says which bytes have to change for the settings to hold, or refuses.
func (c *Config) Plan(want Settings, opt PlanOptions) (*Plan, error) {
	p := &Plan{Config: c, Weights: Settings{}}
	edits := map[*File][]Edit{}
	for _, name := range sortedKeys(want) {
		u, err := c.editable(name)
		if err != nil {
			return nil, err
		}
		for _, p := range u.Peers {
			if p.Service != "" {
				return nil, p.byDNS(u)
			}
		}
		target, err := u.target(want[name])
		if err != nil {
			return nil, err
		}
		if u.ejectsAll(target) {
			return nil, refuse("upstream %q (%s:%d): no server would be left up", name, u.File.Path, u.Line)
		}
		p.Weights[name] = map[string]Setting{}
		for i, peer := range u.Peers {
			p.Weights[name][peer.Label()] = target[i]
			for _, address := range peer.Resolved {
				p.Weights[name][address] = target[i]
			}
			peerEdits, err := peer.edits(u, target[i], opt)
			if err != nil {
				return nil, err
			}
			edits[peer.File] = append(edits[peer.File], peerEdits...)
		}
		if note := u.Note(); note != "" {
			p.Notes = append(p.Notes, note)
		}
		if note := u.reduced(want[name], target); note != "" {
			p.Notes = append(p.Notes, note)
		}
	}
	for _, f := range c.Files {
		if e := edits[f]; len(e) > 0 {
			slices.SortFunc(e, func(a, b Edit) int { return a.Offset - b.Offset })
			p.Files = append(p.Files, FileChange{File: f, Edits: e})
		}
	}
	return p, nil
}

// editable returns the only upstream of that name, or says why it cannot be edited.
func (c *Config) editable(name string) (*Upstream, error) {
	var found *Upstream
	for _, u := range c.Upstreams {
		if u.Name != name {
			continue
		}
		if found != nil {
			return nil, refuse("upstream %q stands at %s:%d (%s) and at %s:%d (%s): one name must mean one group; "+
				"rename one of them",
				name, found.File.Path, found.Line, found.Protocol, u.File.Path, u.Line, u.Protocol)
		}
		found = u
	}
	if found == nil {
		for _, u := range c.Stray {
			if u.Name == name {
				return nil, refuse("%s", u.stray(c))
			}
		}
		return nil, refuse("no upstream %q in %s: trimtab nginx show lists them", name, c.Path)
	}
	for i, p := range found.Peers {
		if i > 0 && p.File == found.Peers[i-1].File {
			continue
		}
		where := fmt.Sprintf("%s:%d: server %s of upstream %q", p.File.Path, p.Line, p.Address, name)
		if p.File.Visits > 1 {
			return nil, refuse("%s stands in a file that is included %d times: an edit would change every place; "+
				"give each upstream a file of its own", where, p.File.Visits)
		}
		if others := c.sharers(p.File); others != "" {
			return nil, refuse("%s: %s: an edit would change every place; include the file once", where, others)
		}
	}
	return found, nil
}

// sharers says under which other path the configuration includes the same file, through a symbolic or hard link.
func (c *Config) sharers(f *File) string {
	for _, o := range c.Files {
		if o != f && (o.Real == f.Real || o.ino != 0 && o.ino == f.ino && o.dev == f.dev) {
			return fmt.Sprintf("%s and %s are the same file", f.Path, o.Path)
		}
	}
	return ""
}

// target is the wanted setting of each peer, in the order of u.Peers.
func (u *Upstream) target(want map[string]Setting) ([]Setting, error) {
	target := make([]Setting, len(u.Peers))
	for i, p := range u.Peers {
		target[i] = Setting{Weight: p.Weight, Down: p.Down}
	}
	named := make([]bool, len(u.Peers))
	index, twice := u.index()
	for _, key := range sortedKeys(want) {
		match, ok := index[key]
		if !ok {
			return nil, refuse("upstream %q (%s:%d) has no server %s: trimtab nginx show lists them", u.Name,
				u.File.Path, u.Line, key)
		}
		if p, ok := twice[key]; ok {
			return nil, refuse("upstream %q has server %s twice, at %s:%d and %s:%d: which one is meant "+
				"cannot be known",
				u.Name, key, u.Peers[match].File.Path, u.Peers[match].Line, p.File.Path, p.Line)
		}
		if named[match] && target[match] != want[key] && len(u.Peers[match].Resolved) > 1 {
			return nil, refuse("upstream %q: %s is %d servers (%s), which share the one weight of their line: "+
				"weights by DNS can differ", u.Name,
				u.Peers[match].Address, len(u.Peers[match].Resolved), strings.Join(u.Peers[match].Resolved, ", "))
		}
		if named[match] && len(u.Peers[match].Resolved) < 2 {
			return nil, refuse("upstream %q: server %s is named twice in the settings", u.Name, u.Peers[match].Label())
		}
		if w := want[key].Weight; w < 1 || w > MaxWeight {
			return nil, refuse("upstream %q: weight %d of server %s: want 1 to %d", u.Name, w, key, MaxWeight)
		}
		target[match], named[match] = want[key], true
	}
	u.reduce(target, named)
	return target, nil
}

// index finds peers by their names, as written and as printed; twice holds the second bearer of a name.
func (u *Upstream) index() (index map[string]int, twice map[string]*Peer) {
	index, twice = make(map[string]int, 2*len(u.Peers)), map[string]*Peer{}
	for i, p := range u.Peers {
		for _, name := range append([]string{p.Address, p.Server}, p.Resolved...) {
			if first, ok := index[name]; ok && first != i {
				twice[name] = p
			} else if name != "" {
				index[name] = i
			}
		}
	}
	return index, twice
}

// reduce divides the weights by their common factor where all of them are set; primary and backup servers are
// balanced apart from each other. Weights that are in the file's proportions already stay as they are.
func (u *Upstream) reduce(target []Setting, named []bool) {
	for _, backup := range []bool{false, true} {
		divisor, all := 0, true
		for i, p := range u.Peers {
			if p.Backup == backup {
				divisor, all = gcd(divisor, target[i].Weight), all && named[i]
			}
		}
		if !all || divisor == 0 {
			continue
		}
		same, fileDivisor := true, 0
		for _, p := range u.Peers {
			if p.Backup == backup {
				fileDivisor = gcd(fileDivisor, p.Weight)
			}
		}
		for i, p := range u.Peers {
			if p.Backup == backup {
				same = same && p.Weight/fileDivisor == target[i].Weight/divisor
			}
		}
		for i, p := range u.Peers {
			if p.Backup != backup {
				continue
			}
			if same {
				target[i].Weight = p.Weight
			} else {
				target[i].Weight /= divisor
			}
		}
	}
}

// wanted is the setting of the peer among those of its upstream.
func (p *Peer) wanted(want map[string]Setting) (Setting, bool) {
	for _, key := range append([]string{p.Address, p.Server}, p.Resolved...) {
		if s, ok := want[key]; ok && key != "" {
			return s, true
		}
	}
	return Setting{}, false
}

// reduced says that the file gets other numbers than those asked for, in the same proportions; empty when it does not.
func (u *Upstream) reduced(want map[string]Setting, target []Setting) string {
	asked, written := make([]string, len(u.Peers)), make([]string, len(u.Peers))
	differ := false
	for i, p := range u.Peers {
		s, ok := p.wanted(want)
		if !ok {
			return "" // some keep what they have: then the numbers are not divided
		}
		asked[i], written[i] = strconv.Itoa(s.Weight), strconv.Itoa(target[i].Weight)
		differ = differ || s.Weight != target[i].Weight
	}
	if !differ {
		return ""
	}
	if len(u.Peers) == 1 {
		return fmt.Sprintf("upstream %q has one server: its weight means nothing, and %s stays %s", u.Name, asked[0],
			written[0])
	}
	return fmt.Sprintf("upstream %q: only the proportions of weights count, so that %s is written as %s",
		u.Name, strings.Join(asked, ":"), strings.Join(written, ":"))
}

// ejectsAll reports whether the target marks the last server down that was up.
func (u *Upstream) ejectsAll(target []Setting) bool {
	before, after := 0, 0
	for i, p := range u.Peers {
		if !p.Backup && !p.Down {
			before++
		}
		if !p.Backup && !target[i].Down {
			after++
		}
	}
	return before > 0 && after == 0
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// edits returns what has to change for the peer to have the setting.
func (p *Peer) edits(u *Upstream, want Setting, opt PlanOptions) ([]Edit, error) {
	var edits []Edit
	if want.Weight != p.Weight {
		if p.hasWeight {
			from := p.weight.start + len("weight=")
			edits = append(edits, Edit{Offset: from, Old: string(p.File.Data[from:p.weight.end]),
				New: strconv.Itoa(want.Weight)})
		} else {
			edits = append(edits, Edit{Offset: p.address.outerEnd(), New: " weight=" + strconv.Itoa(want.Weight)})
		}
	}
	if want.Down == p.Down {
		return edits, nil
	}
	where := fmt.Sprintf("%s:%d: server %s of upstream %q", p.File.Path, p.Line, p.Label(), u.Name)
	switch {
	case !opt.Eject:
		return nil, refuse("%s: marking servers down is not switched on", where)
	case want.Down:
		edits = append(edits, Edit{Offset: p.end, New: " down"})
	case opt.Ejected == nil || !opt.Ejected(u.Name, p.Label()):
		return nil, refuse("%s: it is marked down by someone else; only that person can take it back", where)
	default:
		from := p.down.start
		if from > 0 && p.File.Data[from-1] == ' ' {
			from--
		}
		edits = append(edits, Edit{Offset: from, Old: string(p.File.Data[from:p.down.end])})
	}
	return edits, nil
}

// Apply returns the file's new content.
func (f FileChange) Apply() []byte {
	out := make([]byte, 0, len(f.File.Data)+16*len(f.Edits))
	at := 0
	for _, e := range f.Edits {
		out = append(out, f.File.Data[at:e.Offset]...)
		out = append(out, e.New...)
		at = e.Offset + len(e.Old)
	}
	return append(out, f.File.Data[at:]...)
}

// Diff is the plan as a unified diff; empty when nothing changes.
func (p *Plan) Diff() string {
	var b strings.Builder
	for _, f := range p.Files {
		text := diff.Diff(f.File.Path, f.File.Data, f.File.Path, f.Apply())
		_, text, _ = bytes.Cut(text, []byte("\n")) // the line of a command
		b.Write(text)
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Down reports whether the server is marked down in the configuration.
func (c *Config) Down(upstream, server string) bool {
	for _, u := range c.Upstreams {
		if u.Name != upstream {
			continue
		}
		for _, p := range u.Peers {
			if p.names(server) && p.Down {
				return true
			}
		}
	}
	return false
}
