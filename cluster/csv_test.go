package cluster

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCSV(t *testing.T) {
	for _, c := range []struct {
		text string
		want string // the error after the path, or the numbers
	}{
		// a header and two rows => the two rows
		{"a,b\n1,2\n3,4\n", "[1 2 3 4]"},
		// no newline at the end, carriage returns, blanks and quotes => the same numbers
		{"a,b\r\n 1,\"2\"\r\n3,4e0", "[1 2 3 4]"},
		// a first row of numbers => data
		{"1,2\n3,4\n", "[1 2 3 4]"},
		// a byte order mark before the header => skipped
		{"\ufeffa,b\n1,2\n", "[1 2]"},
		// nothing => says what is wanted
		{"", ": the file is empty, want a header row and rows of numbers"},
		// only a header => says that there are no rows
		{"a,b\n", ": no rows after the header"},
		// a word => file, line, column and the word
		{"a,b\n1,2\n1,x\n", `:3: column 2 (b): "x" is not a number`},
		// NaN => refused
		{"a,b\n1,NaN\n", `:2: column 2 (b): "NaN" is not a finite number`},
		// infinity => refused
		{"a,b\n-Inf,1\n", `:2: column 1 (a): "-Inf" is not a finite number`},
		// a file cut in the middle of a row => the line that is short
		{"a,b,c\n1,2,3\n4,5", ":3: 2 columns, want 3: a row cut short?"},
		// a row too long => the line
		{"a,b\n1,2,3\n", ":2: more than 2 columns"},
		// blank lines at the end => passed over
		{"a,b\n1,2\n\n \r\n\n", "[1 2]"},
		// more of them than a segment holds => passed over
		{"a,b\n1,2\n" + strings.Repeat("\n", 3<<20), "[1 2]"},
		// a byte order mark before numbers => skipped, and lines are counted from the first
		{"\ufeff1.2,5\n0.9,4\n", "[1.2 5 0.9 4]"},
		{"\ufeff1.2,5\n0.9,x\n", `:2: column 2 (x2): "x" is not a number`},
		// a first row that is not complete => not taken for a header
		{"1.0,\n1.2,5.1\n", ":1: 1 of 2 columns are numbers and the others are empty: a header would have names, and " +
			"a row of numbers all of them"},
		// semicolons, tabs => say so
		{"\"a x\";\"b y\"\n1.2;5.1\n", ":1: columns are separated by ;, want commas (and decimal points)"},
		{"a\tb\n1\t2\n", ":1: columns are separated by tabs, want commas (and decimal points)"},
		// old line ends => say so
		{"a,b\r1.2,5.1\r", `:1: lines end in a carriage return only: convert the file with tr '\r' '\n'`},
		// UTF-16 => say so
		{"\xff\xfea\x00,\x00b\x00\n\x00", ":1: the text is in UTF-16, or not text at all: convert it with iconv -f " +
			"utf-16 -t utf-8"},
		// numbers whose squares overflow => say so
		{"a,b\n1.2e160,5\n", `:2: column 1 (a): "1.2e160" is too large: numbers above 1e+150 cannot be squared and added up; use another unit`},
		// an empty line between rows => the line
		{"a,b\n1,2\n\n3,4\n", ":3: 1 columns, want 2: a row cut short?"},
	} {
		path := writeFile(t, c.text)
		got := ""
		f, err := OpenCSV(path)
		if err == nil {
			x, e := f.Read()
			if err = e; err == nil {
				got = fmt.Sprint(x.RawMatrix().Data)
			}
		}
		if err != nil {
			got = strings.TrimPrefix(err.Error(), path)
		}
		if got != c.want {
			t.Errorf("%q: got %s, want %s", c.text, got, c.want)
		}
	}
}

// A streaming fit of a file of several segments continues exactly as a fit in memory from the same start, for any
// number of workers, and a fault far into the file names its line.
func TestFitCSV(t *testing.T) {
	const n, d, k = 70000, 3, 3
	x, _, _ := drawMixture(n, d, k, 3, 11)
	var b strings.Builder
	b.WriteString("a,b,c\n")
	for i := range n {
		fmt.Fprintf(&b, "%.17g,%.17g,%.17g\n", x.At(i, 0), x.At(i, 1), x.At(i, 2))
	}
	f, err := OpenCSV(writeFile(t, b.String()))
	if err != nil {
		t.Fatal(err)
	}
	var first *Mixture
	for _, workers := range []int{1, 3} {
		m, err := FitCSV(t.Context(), f, Settings{K: k, Workers: workers, Restarts: 2})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = m
		}
		for i := range m.Means {
			if m.Means[i] != first.Means[i] {
				t.Fatalf("%d workers: mean element %d is %g, with one worker %g", workers, i, m.Means[i],
					first.Means[i])
			}
		}
	}
	inMemory, err := Fit(x, Settings{Start: first, MaxIterations: 1, Tolerance: -1})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := first.Fit.LogLikelihoodPerSample, inMemory.Fit.Trace[0]; math.Abs(got-want) > 1e-9 {
		t.Errorf("log-likelihood per sample: got %.12g, in memory %.12g", got, want)
	}

	text := b.String()
	at := strings.LastIndexByte(text[:len(text)-1], '\n') + 1
	f.Path = writeFile(t, text[:at]+"1,2,oops\n")
	if _, err := FitCSV(t.Context(), f, Settings{K: k}); err == nil || !strings.Contains(err.Error(),
		fmt.Sprintf(":%d: column 3", n+1)) {
		t.Errorf("fault in the last line: got %v, want line %d, column 3", err, n+1)
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("a,b\n1,2\n")
	f.Add("1\n\"2\"\n")
	f.Add("a,\n,")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := OpenCSV(writeFile(t, text))
		if err != nil {
			return
		}
		x, err := c.Read()
		if err != nil {
			if !strings.Contains(err.Error(), c.Path) {
				t.Errorf("error %q does not name the file", err)
			}
			return
		}
		n, d := x.Dims()
		if d != len(c.Columns) || n < 1 {
			t.Errorf("%d×%d numbers for %d columns", n, d, len(c.Columns))
		}
		for _, v := range x.RawMatrix().Data {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("number %g", v)
			}
		}
	})
}
