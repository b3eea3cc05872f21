package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/coreos/go-systemd/v22/journal"
)

// NewLogger writes to w as the configuration says, and for systemd's journal when w is stderr and stderr the journal.
func NewLogger(w io.Writer, cfg *Config) *slog.Logger {
	level, _ := cfg.level() // validated
	if journald, err := journal.StderrIsJournalStream(); err == nil && journald && w == os.Stderr {
		return slog.New(newJournalHandler(w, cfg.LogFormat, level))
	}
	return slog.New(newHandler(w, cfg.LogFormat, &slog.HandlerOptions{Level: level}))
}

func newHandler(w io.Writer, format string, opts *slog.HandlerOptions) slog.Handler {
	if format == "json" {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}

// journalHandler writes for systemd's journal: each line begins with its priority, as sd-daemon(3) has it, so that
// journalctl -p warning finds what it should; the time of a text line is the journal's own.
type journalHandler struct {
	slog.Handler
	out *priorityWriter
}

// priorityWriter puts the priority of the record that is being handled before what is written.
type priorityWriter struct {
	mu       sync.Mutex
	w        io.Writer
	priority journal.Priority
}

func newJournalHandler(w io.Writer, format string, level slog.Level) journalHandler {
	opts := &slog.HandlerOptions{Level: level}
	if format != "json" {
		opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	out := &priorityWriter{w: w}
	return journalHandler{Handler: newHandler(out, format, opts), out: out}
}

func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.priority = priorityOf(r.Level)
	return h.Handler.Handle(ctx, r)
}

func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalHandler{Handler: h.Handler.WithAttrs(attrs), out: h.out}
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	return journalHandler{Handler: h.Handler.WithGroup(name), out: h.out}
}

// Write is given one line, during Handle.
func (p *priorityWriter) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append(fmt.Appendf(nil, "<%d>", p.priority), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

func priorityOf(l slog.Level) journal.Priority {
	switch {
	case l >= slog.LevelError:
		return journal.PriErr
	case l >= slog.LevelWarn:
		return journal.PriWarning
	case l >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}
