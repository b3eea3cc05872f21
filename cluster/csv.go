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
	columns, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(line, []byte("\ufeff")))).Read()
	if err != nil {
		return nil, fmt.Errorf("%s:1: parse header: %w", path, err)
	}
	c := &CSVFile{Path: path, Columns: columns, start: int64(len(line)) + 1}
	numbers := true
	for i, name := range columns {
		columns[i] = strings.TrimSpace(name)
		_, err := strconv.ParseFloat(columns[i], 64)
		numbers = numbers && err == nil
	}
	if numbers {
		c.start = 0
		for i := range columns {
			columns[i] = fmt.Sprintf("x%d", i+1)
		}
	}
	return c, nil
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
		if err == io.EOF {
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
		if c.start > 0 {
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
		if len(line) == 0 && len(rest) == 0 {
			break // a blank line at the end
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
	return v, nil
}

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
	case err == io.EOF || err == io.ErrUnexpectedEOF:
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
	s.rest = append(s.rest[:0], buf[end:]...)
	return buf[:end], nil
}
