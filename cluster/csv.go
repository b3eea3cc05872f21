package cluster

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"gonum.org/v1/gonum/mat"
)

// CSVFile is a file of numbers: a header row with the names of the columns, then one row of d finite numbers per
// line, separated by commas. It is read in segments, so that it may be larger than memory.
type CSVFile struct {
	Path    string
	Columns []string
	start   int64 // offset of the first row
	header  bool  // the first line is no row
}

// segmentBytes is how much text is parsed at once. Results of a streaming fit depend on it in the last digits.
const segmentBytes = 1 << 20

// OpenCSV reads the header of a file. When the first row holds only numbers, it is a row of data and the columns
// are called x1, x2, ….
func OpenCSV(path string) (*CSVFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read numbers: %w", err)
	}
	defer f.Close()
	head := make([]byte, segmentBytes)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	line, _, complete := bytes.Cut(head[:n], []byte{'\n'})
	if len(bytes.TrimSpace(line)) == 0 {
		if n == 0 {
			return nil, fmt.Errorf("%s: the file is empty, want a header row and rows of numbers", path)
		}
		return nil, fmt.Errorf("%s:1: the first line is empty, want a header row", path)
	}
	if !complete && n == segmentBytes {
		return nil, fmt.Errorf("%s:1: header longer than %d bytes: not a file of numbers", path, segmentBytes)
	}
	if err := notCSV(head[:n], line); err != nil {
		return nil, fmt.Errorf("%s:1: %w", path, err)
	}
	mark := len(line) - len(bytes.TrimPrefix(line, byteOrderMark))
	columns, err := csv.NewReader(bytes.NewReader(line[mark:])).Read()
	if err != nil {
		return nil, fmt.Errorf("%s:1: parse header: %w", path, err)
	}
	c := &CSVFile{Path: path, Columns: columns, start: int64(len(line)) + 1, header: true}
	numbers, blanks := 0, 0
	for i, name := range columns {
		columns[i] = strings.TrimSpace(name)
		if columns[i] == "" {
			blanks++
		} else if _, err := strconv.ParseFloat(columns[i], 64); err == nil {
			numbers++
		}
	}
	switch {
	case numbers == len(columns):
		c.start, c.header = int64(mark), false
		for i := range columns {
			columns[i] = fmt.Sprintf("x%d", i+1)
		}
	case numbers > 0 && numbers+blanks == len(columns):
		return nil, fmt.Errorf("%s:1: %d of %d columns are numbers and the others are empty: a header would have "+
			"names, and a row of numbers all of them",
			path, numbers, len(columns))
	}
	return c, nil
}

var byteOrderMark = []byte("\ufeff")

// notCSV says what else the text is, from its beginning and its first line; nil when it may be what is wanted.
func notCSV(head, line []byte) error {
	switch {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}),
		bytes.IndexByte(line, 0) >= 0:
		return errors.New("the text is in UTF-16, or not text at all: convert it with iconv -f utf-16 -t utf-8")
	case bytes.IndexByte(bytes.TrimRight(line, "\r\n"), '\r') >= 0:
		return errors.New("lines end in a carriage return only: convert the file with tr '\\r' '\\n'")
	}
	if bytes.IndexByte(line, ',') < 0 {
		for _, other := range []struct {
			separator byte
			name      string
		}{{';', ";"}, {'\t', "tabs"}, {'|', "|"}} {
			if bytes.IndexByte(line, other.separator) >= 0 {
				return fmt.Errorf("columns are separated by %s, want commas (and decimal points)", other.name)
			}
		}
	}
	return nil
}

// Read returns all rows, n×d.
func (c *CSVFile) Read() (*mat.Dense, error) {
	var data []float64
	err := c.segments(func(text []byte) error {
		var err error
		data, err = c.parse(data, text)
		return err
	}, func() int { return len(data) / len(c.Columns) })
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%s: no rows after the header", c.Path)
	}
	return mat.NewDense(len(data)/len(c.Columns), len(c.Columns), data), nil
}

// segments calls visit with consecutive pieces of the text, each of whole lines.
func (c *CSVFile) segments(visit func(text []byte) error, rows func() int) error {
	s, err := c.scan()
	if err != nil {
		return err
	}
	defer s.close()
	for {
		text, err := s.next(nil)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = visit(text)
		}
		if err != nil {
			return c.locate(err, rows())
		}
	}
}

// rowError is a fault in a row, counted from the beginning of the segment.
type rowError struct {
	row int // from 0
	err error
}

func (e *rowError) Error() string { return e.err.Error() }

// locate names the file and, for a fault in a row, the line, given the number of rows before the segment.
func (c *CSVFile) locate(err error, before int) error {
	if r := (*rowError)(nil); errors.As(err, &r) {
		line := before + r.row + 1
		if c.header {
			line++
		}
		return fmt.Errorf("%s:%d: %w", c.Path, line, r.err)
	}
	return fmt.Errorf("read %s: %w", c.Path, err)
}

// parse appends the rows of text, whole lines, to dst.
func (c *CSVFile) parse(dst []float64, text []byte) ([]float64, error) {
	d := len(c.Columns)
	for row := 0; len(text) > 0; row++ {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		text = rest
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(bytes.TrimSpace(line)) == 0 && len(bytes.TrimSpace(rest)) == 0 {
			break // blank lines at the end
		}
		for j := range d {
			field := line
			if at := bytes.IndexByte(line, ','); at >= 0 {
				field, line = line[:at], line[at+1:]
				if j == d-1 {
					return nil, &rowError{row, fmt.Errorf("more than %d columns", d)}
				}
			} else if j < d-1 {
				return nil, &rowError{row, fmt.Errorf("%d columns, want %d: a row cut short?", j+1, d)}
			}
			v, err := parseNumber(field)
			if err != nil {
				return nil, &rowError{row, fmt.Errorf("column %d (%s): %w", j+1, c.Columns[j], err)}
			}
			dst = append(dst, v)
		}
	}
	return dst, nil
}

// parseNumber parses a finite number, with blanks or quotes around it if need be.
func parseNumber(field []byte) (float64, error) {
	v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(field), len(field)), 64)
	if err != nil {
		trimmed := strings.Trim(strings.TrimSpace(string(field)), `"`)
		if v, err = strconv.ParseFloat(strings.TrimSpace(trimmed), 64); err != nil {
			if len(trimmed) > 40 {
				trimmed = trimmed[:40] + "…"
			}
			return 0, fmt.Errorf("%q is not a number", trimmed)
		}
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a finite number", field)
	}
	if math.Abs(v) > maxNumber {
		return 0, fmt.Errorf("%.40q is too large: numbers above %g cannot be squared and added up; use another unit",
			field, maxNumber)
	}
	return v, nil
}

// maxNumber is the largest number that is read: the squares of 10^7 of them still have a sum.
const maxNumber = 1e150

// csvScan reads the text of a file in segments of whole lines.
type csvScan struct {
	f    *os.File
	rest []byte // begun line of the segment before
	done bool
}

func (c *CSVFile) scan() (*csvScan, error) {
	f, err := os.Open(c.Path)
	if err != nil {
		return nil, fmt.Errorf("read numbers: %w", err)
	}
	if _, err := f.Seek(c.start, io.SeekStart); err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", c.Path, err)
	}
	return &csvScan{f: f}, nil
}

func (s *csvScan) close() { s.f.Close() }

// next returns the next segment, reusing buf; io.EOF after the last.
func (s *csvScan) next(buf []byte) ([]byte, error) {
	if s.done {
		return nil, io.EOF
	}
	if cap(buf) < segmentBytes {
		buf = make([]byte, segmentBytes)
	}
	buf = buf[:segmentBytes]
	have := copy(buf, s.rest)
	n, err := io.ReadFull(s.f, buf[have:])
	buf = buf[:have+n]
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		s.done, s.rest = true, nil
		if len(buf) == 0 {
			return nil, io.EOF
		}
		return buf, nil
	case err != nil:
		return nil, err
	}
	end := bytes.LastIndexByte(buf, '\n') + 1
	if end == 0 {
		return nil, fmt.Errorf("a line longer than %d bytes", segmentBytes)
	}
	// Blank lines go with what follows them, which says whether the file ends there.
	if full := len(bytes.TrimRight(buf[:end], "\r\n\t ")); full > 0 {
		end = full + bytes.IndexByte(buf[full:end], '\n') + 1
	}
	s.rest = append(s.rest[:0], buf[end:]...)
	return buf[:end], nil
}
