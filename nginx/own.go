package nginx

import (
	"slices"
	"sync"
)

// owned remembers what this process wrote last to each file, so that a Watcher can tell its own writes from others'.
type owned struct {
	mu    sync.Mutex
	files map[string][]Hash
}

// Owns reports whether the content of the file is what this Applier put there last, or is just putting there.
func (a *Applier) Owns(path string, h Hash) bool {
	a.owned.mu.Lock()
	defer a.owned.mu.Unlock()
	return slices.Contains(a.owned.files[path], h)
}

// note is called just before content becomes live.
func (o *owned) note(path string, h Hash) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.files == nil {
		o.files = map[string][]Hash{}
	}
	o.files[path] = append(o.files[path], h)
}

// settle forgets all but the last content of each file, once a change has ended.
func (o *owned) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for path, hashes := range o.files {
		o.files[path] = hashes[len(hashes)-1:]
	}
}
