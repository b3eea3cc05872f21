package nginx

import (
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Loaded knows which configuration NGINX runs, from the files and from when they were loaded: while none of them is
// newer than that, they are what runs. Once known, it stays known until something else is loaded, whatever happens to
// the files.
type Loaded struct {
	Path string // of the main configuration file

	mu    sync.Mutex
	known *Config
	since int64 // LoadMsec of known
}

// loadSlack is how much later than the load a file may have been saved and still be what was loaded: the two clocks are
// one, but NGINX's is read once per turn of its loop.
const loadSlack = 50 * time.Millisecond

// At returns the configuration that was loaded at loadMsec (ms since the Unix epoch), or an error when the files have
// been saved since and it is not known from before.
func (l *Loaded) At(loadMsec int64) (*Config, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known != nil && l.since == loadMsec {
		return l.known, nil
	}
	cfg, err := ReadConfig(l.Path)
	if err != nil {
		return nil, fmt.Errorf("what NGINX has loaded is not known: %w", err)
	}
	loaded := time.UnixMilli(loadMsec)
	for _, f := range cfg.Files {
		info, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("what NGINX has loaded is not known: %w", err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && time.Unix(st.Ctim.Unix()).After(loaded.Add(loadSlack)) {
			return nil, fmt.Errorf("what NGINX has loaded is not known: %s was saved after that, at %s; reload NGINX",
				f.Path, loaded.Format(time.TimeOnly))
		}
	}
	l.known, l.since = cfg, loadMsec
	return cfg, nil
}
