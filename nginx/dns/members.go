package dns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Members says who the servers of an upstream are: a list, a file that is watched, or a name that is resolved again and
// again. What is given adds up.
type Members struct {
	Upstream string
	Servers  []Member
	// File holds a JSON list: "10.0.0.1:80" or {"server": "10.0.0.1:80", "weight": 3, "backup": true}.
	File string
	// Name is host:port; every address of the host is a server. Every is how often it is asked for (0: 5 s).
	Name  string
	Every time.Duration
	// Read reads File; nil: this process does.
	Read func() ([]byte, error)
}

// ParseMembers reads a list of members.
func ParseMembers(text []byte) ([]Member, error) {
	var list []json.RawMessage
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("read members: want a JSON list: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read members: something follows the list")
	}
	out := make([]Member, 0, len(list))
	var errs []error
	for i, raw := range list {
		m, err := parseMember(raw)
		if err == nil && slices.ContainsFunc(out, func(o Member) bool { return o.Address == m.Address }) {
			err = fmt.Errorf("server %s stands in it twice", m.Address)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read members: entry %d: %w", i+1, err))
			continue
		}
		out = append(out, m)
	}
	return out, errors.Join(errs...)
}

func parseMember(raw json.RawMessage) (Member, error) {
	var entry struct {
		Server string `json:"server"`
		Weight *int   `json:"weight"`
		Backup bool   `json:"backup"`
	}
	if err := json.Unmarshal(raw, &entry.Server); err != nil {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&entry); err != nil {
			return Member{}, fmt.Errorf("want \"IP:port\" or {\"server\": …, \"weight\": …, \"backup\": …}: %w", err)
		}
	}
	m := Member{Backup: entry.Backup, Weight: 1}
	if entry.Weight != nil {
		m.Weight = *entry.Weight
	}
	if m.Weight < 1 || m.Weight > MaxWeight {
		return m, fmt.Errorf("server %s: weight %d: want 1 to %d", entry.Server, m.Weight, MaxWeight)
	}
	ap, err := netip.ParseAddrPort(entry.Server)
	if err != nil || ap.Port() == 0 || ap.Addr().Zone() != "" {
		return m, fmt.Errorf("server %q: want IP:port", entry.Server)
	}
	m.Address = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).String()
	return m, nil
}

// lookup resolves a host's name; tests stand in for it.
type lookup func(ctx context.Context, host string) ([]netip.Addr, error)

func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// now lists the members as they are now. It fails rather than leave somebody out.
func (m Members) now(ctx context.Context, resolve lookup) ([]Member, error) {
	out := slices.Clone(m.Servers)
	if m.File != "" {
		read := m.Read
		if read == nil {
			read = func() ([]byte, error) { return os.ReadFile(m.File) }
		}
		text, err := read()
		if err != nil {
			return nil, fmt.Errorf("read members: %w", err)
		}
		list, err := ParseMembers(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.File, err)
		}
		out = append(out, list...)
	}
	if m.Name != "" {
		host, port, err := net.SplitHostPort(m.Name)
		if err != nil {
			return nil, fmt.Errorf("members of %s: name %q: want host:port", m.Upstream, m.Name)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("members of %s: name %q: want a port from 1 to 65535", m.Upstream, m.Name)
		}
		found, err := resolve(ctx, host)
		if err != nil {
			return nil, fmt.Errorf("members of %s: resolve %s: %w", m.Upstream, host, err)
		}
		for _, a := range found {
			out = append(out, Member{Address: netip.AddrPortFrom(a.Unmap(), uint16(n)).String(), Weight: 1})
		}
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Address, b.Address) })
	return slices.CompactFunc(out, func(a, b Member) bool { return a.Address == b.Address }), nil
}

// Follower keeps the servers of upstreams as their Members say.
type Follower struct {
	Members []Members
	// Join makes a list of members effective; it is an Actuator's Change with State.Join.
	Join   func(ctx context.Context, upstream string, members []Member) error
	Logger *slog.Logger // nil: discard

	resolve lookup            // nil: the machine's resolver
	failing map[string]string // by upstream, so that a fault is said once
}

// Step looks at every upstream once. What cannot be read, and a list that would leave nobody, changes nothing.
func (f *Follower) Step(ctx context.Context) {
	if f.failing == nil {
		f.failing = map[string]string{}
	}
	log, look := f.Logger, f.resolve
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if look == nil {
		look = resolve
	}
	for i, m := range f.Members {
		if slices.ContainsFunc(f.Members[:i], func(o Members) bool { return o.Upstream == m.Upstream }) {
			continue // it was looked at with the first
		}
		list, err := f.all(ctx, m.Upstream, look)
		if err == nil && len(list) == 0 {
			err = fmt.Errorf("members of %s: the list is empty", m.Upstream)
		}
		if err == nil {
			err = f.Join(ctx, m.Upstream, list)
		}
		said := f.failing[m.Upstream]
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && err.Error() != said:
			log.Error("the servers of an upstream stay as they are", "upstream", m.Upstream, "error", err)
			f.failing[m.Upstream] = err.Error()
		case err == nil && said != "":
			log.Info("the servers of an upstream are followed again", "upstream", m.Upstream)
			delete(f.failing, m.Upstream)
		}
	}
}

// all is what all Members of an upstream say together; one that cannot be read leaves none.
func (f *Follower) all(ctx context.Context, upstream string, look lookup) (out []Member, err error) {
	for _, m := range f.Members {
		if m.Upstream != upstream {
			continue
		}
		list, err := m.now(ctx, look)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	slices.SortStableFunc(out, func(a, b Member) int { return strings.Compare(a.Address, b.Address) })
	return slices.CompactFunc(out, func(a, b Member) bool { return a.Address == b.Address }), nil
}

// Run follows until ctx ends: files as they change, names as often as they are asked for.
func (f *Follower) Run(ctx context.Context) error {
	every := 5 * time.Second
	var events chan fsnotify.Event
	if w, err := fsnotify.NewWatcher(); err == nil {
		defer w.Close()
		events = w.Events
		for _, m := range f.Members {
			if m.File != "" {
				_ = w.Add(filepath.Dir(m.File)) // else the tick notices
			}
		}
	}
	for _, m := range f.Members {
		if m.Every > 0 {
			every = min(every, m.Every)
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	f.Step(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case e := <-events:
			if !slices.ContainsFunc(f.Members, func(m Members) bool {
				return m.File != "" &&
					filepath.Clean(m.File) == filepath.Clean(e.Name)
			}) {
				continue
			}
		}
		f.Step(ctx)
	}
}
