package vts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"trimtab/trusted"
)

// RecorderConfig says where statuses are stored.
type RecorderConfig struct {
	// Path of the file; it is compressed when the name ends in .zst.
	Path string
	// Append goes on with a file that is there, which otherwise is an error. A compressed file cannot be continued.
	Append bool
	// RotateBytes is the size from which on a new file is begun, the old one being renamed with a number before its
	// extension; 0 means never.
	RotateBytes int64
	// SyncEvery is how often the file is forced to the disk: 0 means only when it is closed, 1 ns after every line.
	SyncEvery time.Duration
}

// Recorder stores statuses, one complete line per write: whatever ends the process, the file can be read up to the last
// status.
type Recorder struct {
	cfg     RecorderConfig
	file    *os.File
	zip     *zstd.Encoder
	line    []byte
	size    int64 // of the current file
	total   int64
	synced  time.Time
	rotated int
}

// OpenRecorder creates the file.
func OpenRecorder(cfg RecorderConfig) (*Recorder, error) {
	if cfg.Path == "" {
		return nil, errors.New("recorder: no file named")
	}
	if cfg.RotateBytes < 0 || cfg.SyncEvery < 0 {
		return nil, errors.New("recorder: a size or a time below 0")
	}
	r := &Recorder{cfg: cfg}
	if cfg.Append && r.compressed() {
		return nil, fmt.Errorf("record to %s: a compressed file cannot be continued: choose another name", cfg.Path)
	}
	if err := r.open(cfg.Append); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Recorder) compressed() bool { return strings.HasSuffix(r.cfg.Path, ".zst") }

func (r *Recorder) open(appending bool) error {
	var f *os.File
	var err error
	if appending {
		f, err = trusted.Create(r.cfg.Path, 0o644, true)
	} else {
		f, err = os.OpenFile(r.cfg.Path, os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o644)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("record to %s: it exists: append to it or choose another name", r.cfg.Path)
	}
	if err != nil {
		return err
	}
	r.size, err = endOfLastLine(f)
	if err == nil {
		if err = f.Truncate(r.size); err == nil {
			_, err = f.Seek(r.size, io.SeekStart)
		}
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("record to %s: %w", r.cfg.Path, err)
	}
	r.file, r.synced = f, time.Now()
	if r.compressed() {
		// One goroutine at most, and a window that suits lines which differ in a few digits.
		r.zip, err = zstd.NewWriter(countingWriter{r}, zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(1<<20))
	}
	return err
}

// endOfLastLine returns how many bytes of f are whole lines: what follows was being written when its writer ended.
func endOfLastLine(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, errors.New("not a regular file")
	}
	buf := make([]byte, 64<<10)
	for end := info.Size(); end > 0; {
		n := min(end, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], end-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, nil
}

type countingWriter struct{ r *Recorder }

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.r.file.Write(p)
	w.r.size += int64(n)
	w.r.total += int64(n)
	return n, err
}

// Write stores st.
func (r *Recorder) Write(st *Status) error {
	r.line = AppendRecord(r.line[:0], st)
	var err error
	if r.zip != nil {
		if _, err = r.zip.Write(r.line); err == nil {
			err = r.zip.Flush()
		}
	} else {
		before := r.size
		if _, err = (countingWriter{r}).Write(r.line); err != nil && r.size > before {
			// A full disk can take part of a line; the file must hold whole ones.
			if r.file.Truncate(before) == nil {
				_, _ = r.file.Seek(before, io.SeekStart)
				r.total -= r.size - before
				r.size = before
			}
		}
	}
	if err != nil {
		return fmt.Errorf("record to %s: %w", r.cfg.Path, err)
	}
	if r.cfg.SyncEvery > 0 && time.Since(r.synced) >= r.cfg.SyncEvery {
		if err := r.file.Sync(); err != nil {
			return fmt.Errorf("record to %s: %w", r.cfg.Path, err)
		}
		r.synced = time.Now()
	}
	if r.cfg.RotateBytes > 0 && r.size >= r.cfg.RotateBytes {
		return r.rotate()
	}
	return nil
}

// Bytes is how much has been written to all files.
func (r *Recorder) Bytes() int64 { return r.total }

// rotate closes the current file, gives it a number and begins a new one.
func (r *Recorder) rotate() error {
	if err := r.Close(); err != nil {
		return err
	}
	for {
		r.rotated++
		old := rotatedName(r.cfg.Path, r.rotated)
		if _, err := os.Lstat(old); errors.Is(err, fs.ErrNotExist) {
			if err := os.Rename(r.cfg.Path, old); err != nil {
				return err
			}
			return r.open(false)
		} else if err != nil {
			return err
		}
	}
}

// rotatedName puts a number before the extension: stats.ndjson.zst becomes stats.0001.ndjson.zst.
func rotatedName(path string, n int) string {
	dir, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = path[:i+1], path[i+1:]
	}
	stem, ext := name, ""
	if i := strings.IndexByte(name[min(1, len(name)):], '.'); i >= 0 {
		stem, ext = name[:i+1], name[i+1:]
	}
	return fmt.Sprintf("%s%s.%04d%s", dir, stem, n, ext)
}

// Close completes the file and forces it to the disk.
func (r *Recorder) Close() error {
	if r.file == nil {
		return nil
	}
	var err error
	if r.zip != nil {
		err = r.zip.Close()
		r.zip = nil
	}
	err = errors.Join(err, r.file.Sync(), r.file.Close())
	r.file = nil
	if err != nil {
		return fmt.Errorf("close %s: %w", r.cfg.Path, err)
	}
	return nil
}
