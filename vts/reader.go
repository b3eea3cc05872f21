package vts

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Format is how a file of stored statistics is written.
type Format string

const (
	FormatRecord Format = "record" // what AppendRecord writes: one status per line
	FormatStatus Format = "status" // replies of /status/format/json, on a line each or pretty-printed
	FormatSeed   Format = "seed"   // the older format: zone → server → counters, one object per line
)

// ErrTruncated is in the error for a file that ends within an object, as when its writer or a copy was cut off.
var ErrTruncated = errors.New("the file ends within an object")

// maxLine bounds one stored status.
const maxLine = 64 << 20

// File reads a file of stored statistics, whatever its format, one status at a time.
type File struct {
	SkipBad bool // go on after lines that cannot be read, counting them in Bad
	Bad     int  // lines skipped
	LastBad error

	path   string
	format Format
	in     *bufio.Reader
	close  func() error
	line   int // of the last line read, counted from 1
	buf    []byte
	held   []byte // a line that was read ahead
	ended  bool
	failed bool // reading itself failed: nothing to skip to
}

// Open opens a file of stored statistics; zstd is recognised by its first bytes. "-" is standard input.
func Open(path string) (*File, error) {
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
	}
	r := bufio.NewReaderSize(f, 1<<16)
	file := &File{path: path, in: r, close: f.Close}
	if magic, _ := r.Peek(4); bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		// One decoder goroutine and a bounded window: a file must not take more memory than its lines.
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxLine))
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		file.in = bufio.NewReaderSize(z, 1<<16)
		file.close = func() error { z.Close(); return f.Close() }
	}
	return file, nil
}

// NewFile reads from r; name stands for it in errors.
func NewFile(name string, r io.Reader) *File {
	return &File{path: name, in: bufio.NewReaderSize(r, 1<<16), close: func() error { return nil }}
}

// Close closes the file.
func (f *File) Close() error { return f.close() }

// Format is how the file is written; "" before the first status was read.
func (f *File) Format() Format { return f.format }

// Line is where the last status that Next returned ends.
func (f *File) Line() int { return f.line }

// Next returns the next status, or io.EOF at the end. Its errors name file and line. After an error, and with SkipBad
// instead of one, reading goes on with the next line.
func (f *File) Next() (*Status, error) {
	for {
		text, err := f.object()
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		var st *Status
		if err == nil {
			st, err = f.decode(text)
		}
		if err == nil {
			return st, nil
		}
		err = fmt.Errorf("read %s:%d: %w", f.path, f.line, err)
		if !f.SkipBad || f.failed {
			return nil, err
		}
		f.Bad++
		f.LastBad = err
	}
}

func (f *File) decode(text []byte) (*Status, error) {
	if f.format == "" {
		format, err := detect(text)
		if err != nil {
			return nil, err
		}
		f.format = format
	}
	st := new(Status)
	var err error
	switch f.format {
	case FormatRecord:
		err = DecodeRecord(text, st)
	case FormatStatus:
		// A dump does not say when it was taken; the server's own clock does.
		if err = Decode(text, time.Time{}, st); err == nil {
			st.At = time.UnixMilli(st.NowMsec).UTC()
		}
	default:
		if err = decodeSeed(text, f.line, st); err == nil {
			st.At = time.UnixMilli(st.NowMsec).UTC()
		}
	}
	return st, err
}

// detect tells the formats apart by the keys of the first object.
func detect(text []byte) (Format, error) {
	s := scanner{buf: text}
	if s.peek() != '{' {
		return "", reject(ReasonNotJSON, "no JSON object, and so none of the formats known: it starts with %.40q", text)
	}
	s.pos++
	nested := false
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			break
		}
		switch string(key) {
		case "now_ms":
			return FormatRecord, nil
		case "nowMsec":
			return FormatStatus, nil
		}
		nested = nested || s.peek() == '{'
		s.skip()
	}
	if s.err != nil {
		return "", s.err
	}
	if !nested {
		return "", reject(ReasonMissing, "an object of none of the formats known: it has neither now_ms nor "+
			"nowMsec nor zones")
	}
	return FormatSeed, nil
}

// object returns the text of the next object: one line or, where the lines of a status page were broken up, several.
func (f *File) object() ([]byte, error) {
	f.buf = f.buf[:0]
	var depth nesting
	for {
		line, err := f.readLine()
		blank := len(bytes.TrimSpace(line)) == 0
		switch {
		case errors.Is(err, io.EOF) && blank && len(f.buf) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF) && blank:
			return nil, ErrTruncated
		case err != nil && !errors.Is(err, io.EOF):
			f.ended, f.failed = true, true
			return nil, err
		case blank:
			continue
		case len(f.buf) > 0 && line[0] == '{':
			f.held = append(f.held[:0], line...) // another object begins where the one before has not ended
			f.line--
			return nil, ErrTruncated
		}
		f.buf = append(f.buf, line...)
		if len(f.buf) > maxLine {
			return nil, fmt.Errorf("an object of more than %d bytes", maxLine)
		}
		depth.add(line)
		if depth.level <= 0 || f.format == FormatRecord || f.format == FormatSeed {
			if errors.Is(err, io.EOF) && depth.level > 0 {
				return nil, ErrTruncated
			}
			return f.buf, nil
		}
		if errors.Is(err, io.EOF) {
			return nil, ErrTruncated
		}
	}
}

// readLine returns the next line with its end; the last one may come with io.EOF.
func (f *File) readLine() ([]byte, error) {
	if len(f.held) > 0 {
		line := f.held
		f.held = nil
		f.line++
		return line, nil
	}
	if f.ended {
		return nil, io.EOF
	}
	var line []byte
	for {
		part, err := f.in.ReadSlice('\n')
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) && len(line) <= maxLine {
			continue
		}
		if len(line) > 0 {
			f.line++
		}
		switch {
		case err == nil, errors.Is(err, bufio.ErrBufferFull):
			return line, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			// A compressed file whose writer was killed lacks its end: what was flushed has been read.
			f.ended = true
			return line, io.EOF
		case errors.Is(err, io.EOF):
			f.ended = true
		}
		return line, err
	}
}

// nesting follows the brackets of a text that comes in pieces.
type nesting struct {
	level           int
	inString, after bool // after: the byte before was a backslash in a string
}

func (n *nesting) add(text []byte) {
	for _, c := range text {
		switch {
		case n.after:
			n.after = false
		case n.inString:
			switch c {
			case '\\':
				n.after = true
			case '"':
				n.inString = false
			}
		case c == '"':
			n.inString = true
		case c == '{' || c == '[':
			n.level++
		case c == '}' || c == ']':
			n.level--
		}
	}
}

// Samples calls yield with every sample of the files, in order, as one series each, and returns how many pairs of
// statuses gave none, by reason. yield ends it by returning an error, which Samples returns.
func Samples(paths []string, skipBad bool, yield func(Sample) error) (map[Reason]int, error) {
	rejected := map[Reason]int{}
	for _, path := range paths {
		if err := samplesOf(path, skipBad, rejected, yield); err != nil {
			return rejected, err
		}
	}
	return rejected, nil
}

func samplesOf(path string, skipBad bool, rejected map[Reason]int, yield func(Sample) error) error {
	f, err := Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	f.SkipBad = skipBad
	series := Series{Recorded: true}
	for {
		st, err := f.Next()
		if errors.Is(err, io.EOF) {
			rejected[ReasonMalformed] += f.Bad
			return nil
		}
		if err != nil {
			return err
		}
		sample, err := series.Next(st)
		if err != nil {
			rejected[ReasonOf(err)]++
			continue
		}
		if err := yield(sample); err != nil {
			return err
		}
	}
}
