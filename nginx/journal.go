package nginx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Phases of a journal, in the order in which they are passed. A journal exists exactly while a change is under way;
// when it is done it becomes the record of the last change.
const (
	phaseReplace = "replace" // the files are being replaced; NGINX has not been told
	phaseReload  = "reload"  // NGINX has been told, or is about to be
	phaseRestore = "restore" // the old files are being put back
)

const (
	journalName = "journal.json"
	lastName    = "last.json"
	schema      = 1
)

// journal is what has to be known to finish or undo a change after a crash, and afterwards to roll it back.
type journal struct {
	Schema  int           `json:"schema"`
	Phase   string        `json:"phase"`
	Config  string        `json:"config"`
	At      time.Time     `json:"at"`
	Files   []journalFile `json:"files"`
	Weights Settings      `json:"weights"` // of the upstreams of the change, after it
	Before  Settings      `json:"before"`  // and before it
	Ejected []ejection    `json:"ejected"` // down marks that are Trimtab's, after it
	Earlier []ejection    `json:"earlier"` // and before it
	Cause   string        `json:"cause,omitempty"`
}

type journalFile struct {
	Path string `json:"path"`
	Real string `json:"real"`
	Temp string `json:"temp"`
	Old  Hash   `json:"old"` // of the content before; the backup of that name holds it
	New  Hash   `json:"new"` // and after
}

// ejection is one server that Trimtab marked down.
type ejection struct {
	Upstream string `json:"upstream"`
	Server   string `json:"server"`
}

func (j *journal) record(rs []*replacement) {
	j.Files = nil
	for _, r := range rs {
		j.Files = append(j.Files, journalFile{Path: r.Path, Real: r.Real, Temp: r.Temp, Old: r.Old, New: r.New})
	}
}

func (a *Applier) writeJournal(j *journal) error {
	j.Schema = schema
	data, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return a.store(journalName, data)
}

// readJournal reads the journal or the record of the last change; nil when there is none. One that cannot be read is
// put aside, because nothing can be done from it.
func (a *Applier) readJournal(name string) (*journal, error) {
	path := filepath.Join(a.StateDir, name)
	data, err := a.readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	j := &journal{}
	if err := json.Unmarshal(data, j); err != nil || j.Schema != schema {
		if err == nil {
			err = fmt.Errorf("schema %d, want %d", j.Schema, schema)
		}
		return nil, a.putAside(name, err)
	}
	if j.Config != a.Config {
		return nil, refuse("the state folder %s belongs to %s, not to %s: use another --state-dir", a.StateDir,
			j.Config, a.Config)
	}
	return j, nil
}

// putAside takes a journal from which nothing can or may be done out of the way, for people to look at.
func (a *Applier) putAside(name string, why error) error {
	path := filepath.Join(a.StateDir, name)
	aside := fmt.Sprintf("%s.unreadable-%d", path, time.Now().UnixNano())
	if err := a.do("put aside", path, func() error { return os.Rename(path, aside) }); err != nil {
		return err
	}
	a.log().Warn("put aside a journal that cannot be used", "file", aside, "error", why)
	return nil
}

// Pending reports whether a crash has left a change unfinished. A change that is under way right now is none.
func (a *Applier) Pending() (bool, error) {
	if err := a.absolute(); err != nil {
		return false, err
	}
	_, err := os.Stat(filepath.Join(a.StateDir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	lock, err := os.Open(filepath.Join(a.StateDir, "lock"))
	if err != nil {
		return true, nil
	}
	defer lock.Close()
	return !errors.Is(unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK), nil
}

// closeJournal makes the journal the record of the last change, in one step.
func (a *Applier) closeJournal() error {
	from, to := filepath.Join(a.StateDir, journalName), filepath.Join(a.StateDir, lastName)
	if err := a.do("close journal", to, func() error { return os.Rename(from, to) }); err != nil {
		return err
	}
	return a.syncDir(a.StateDir)
}

// dropJournal removes the journal of a change that did not happen.
func (a *Applier) dropJournal() error {
	if err := a.remove(filepath.Join(a.StateDir, journalName)); err != nil {
		return err
	}
	return a.syncDir(a.StateDir)
}
