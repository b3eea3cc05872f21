package arrival

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
)

// Drawn returns steps of a length until duration whose rates are drawn from values, each as likely and independently:
// the load of the published evaluation of the service-mesh framework, {5, 10, 15, 20} per second. The same seed draws
// the same.
func Drawn(values []float64, every, duration time.Duration, seed uint64) ([]Point, error) {
	if len(values) == 0 || every <= 0 {
		return nil, fmt.Errorf("%d values every %s: want at least one, and a step of more than 0", len(values), every)
	}
	for _, v := range values {
		if err := checkRate("value", v); err != nil {
			return nil, err
		}
	}
	rng := rand.New(rand.NewPCG(seed, 0xd4a3))
	var out []Point
	for at := time.Duration(0); at < duration; at += every {
		out = append(out, Point{At: at, Rate: values[rng.IntN(len(values))]})
	}
	return out, nil
}

// Sampled returns steps of a length until duration, each with the mean rate over it.
func Sampled(rate Rate, every, duration time.Duration) []Point {
	var out []Point
	for at := time.Duration(0); every > 0 && at < duration; at += every {
		out = append(out, Point{At: at, Rate: rate.Area(at, at+every) / every.Seconds()})
	}
	return out
}

// traceLines bounds a trace: two weeks of seconds.
const traceLines = 1 << 21

// ReadTrace reads a load trace from a file: lines of an offset in seconds and a rate per second, apart by blanks or a
// comma, offsets rising; blank lines and those that begin with # do not count. Errors name file and line.
func ReadTrace(path string) ([]Point, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read load trace: %w", err)
	}
	defer f.Close()
	points, err := ParseTrace(f)
	if err != nil {
		return nil, fmt.Errorf("read load trace %s:%w", path, err)
	}
	return points, nil
}

// ParseTrace is ReadTrace for text; errors begin with the number of the line.
func ParseTrace(r io.Reader) ([]Point, error) {
	var out []Point
	lines := bufio.NewScanner(r)
	n := 0
	for lines.Scan() {
		n++
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		fields := strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' || c == ';' })
		if len(fields) != 2 {
			return nil, fmt.Errorf("%d: %q: want seconds and a rate", n, text)
		}
		at, err := strconv.ParseFloat(fields[0], 64)
		rate, fault := strconv.ParseFloat(fields[1], 64)
		if err = errors.Join(err, fault); err != nil {
			return nil, fmt.Errorf("%d: %q: want two numbers", n, text)
		}
		if !(at >= 0 && at <= maxTraceSec) {
			return nil, fmt.Errorf("%d: offset %v: want 0 to %v seconds", n, at, float64(maxTraceSec))
		}
		if err := checkRate("rate", rate); err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		p := Point{At: time.Duration(at * float64(time.Second)), Rate: rate}
		if len(out) > 0 && p.At <= out[len(out)-1].At {
			return nil, fmt.Errorf("%d: offset %s after %s: offsets must rise", n, p.At, out[len(out)-1].At)
		}
		if len(out) >= traceLines {
			return nil, fmt.Errorf("%d: more than %d lines", n, traceLines)
		}
		out = append(out, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%d: %w", n, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%d: no line holds a rate", n)
	}
	return out, nil
}

// maxTraceSec is the largest offset of a trace: a hundred years.
const maxTraceSec = 100 * 365 * 24 * 3600
