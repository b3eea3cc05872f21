package vts

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// readAll returns all statuses of a file and the error that ended it, nil at its end.
func readAll(f *File) (all []*Status, err error) {
	for {
		st, err := f.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, st)
	}
}

func testStatus(n uint64) *Status {
	return &Status{
		At: time.Unix(1700000000+int64(n), 123456789).UTC(), Took: 1500 * time.Microsecond,
		NowMsec: 1700000000000 + 1000*int64(n), LoadMsec: 1699999999000, NginxVer: "1.22.1", ModuleVer: "v0.2.7",
		Connections: Connections{1, 2, 3, 4, 5 + n, 5 + n, 7 + n},
		Zone:        Zone{MaxBytes: 1 << 20, UsedBytes: 4096, FreeBytes: 1 << 19, Dropped: 0},
		Upstreams: []Upstream{{Name: "app", Peers: []Peer{
			{Server: "127.0.0.1:1", Weight: 3, MaxFails: 1, FailTimeout: 10, Requests: 10 * n, InBytes: 100 * n,
				OutBytes:  200 * n,
				Responses: Responses{0, 9 * n, 0, 0, n}, RequestMsec: 50 * n, ResponseMsec: 40 * n,
				BucketsMsec: []float64{1, 2.5, 10}, Buckets: []uint64{n, 5 * n, 9 * n}},
			{Server: `unix:/run/"x"`, Weight: 1, Down: true, Backup: true},
		}}},
	}
}

func TestOpenTellsTheFormatsApart(t *testing.T) {
	record := AppendRecord(AppendRecord(nil, testStatus(1)), testStatus(2))
	page := `{"loadMsec":5,"nowMsec":9,"connections":{"active":1},"upstreamZones":{}}`
	seed := `{"g":{"s:1":{"requestCounter":4,"inBytes":1,"outBytes":2,"Non 2xx/3xx responses":1,"requestMsecCounter":9,"weight":2,"maxFails":1,"failTimeout":10,"backup":0,"down":1}}}`
	for _, c := range []struct {
		sentence, text string
		format         Format
		n, bad         int
	}{
		{"lines that collect wrote", string(record), FormatRecord, 2, 0},
		{"a page on one line", page + "\n", FormatStatus, 1, 0},
		{"pages one after the other, the last without a line end", page + "\n" + page, FormatStatus, 2, 0},
		{"a page over several lines", "{\n \"loadMsec\": 5,\n \"nowMsec\": 9,\n \"connections\": {\n }\n}\n" + page,
			FormatStatus, 2, 0},
		{"the older format", seed + "\n" + seed + "\n", FormatSeed, 2, 0},
		{"blank lines between", "\n" + seed + "\n\n" + seed + "\n", FormatSeed, 2, 0},
		{"a line of rubbish is skipped", string(record) + "rubbish\n" + string(record), FormatRecord, 4, 1},
		{"a line that was cut off in the middle is skipped", string(record[:len(record)/3]) + "\n" + string(record),
			FormatRecord, 2, 1},
		{"a page that was cut off is skipped, not the one after it", "{\n \"loadMsec\": 5,\n" + page + "\n",
			FormatStatus, 1, 1},
		{"an end within a line", string(record[:len(record)-20]), FormatRecord, 1, 1},
		{"no line at all", "", "", 0, 0},
		{"nothing that is known", "<html>\n", "", 0, 1},
		{"an object of another kind", `{"a":1}` + "\n", "", 0, 1},
	} {
		f := NewFile("f", strings.NewReader(c.text))
		f.SkipBad = true
		all, err := readAll(f)
		if err != nil || len(all) != c.n || f.Bad != c.bad || f.Format() != c.format {
			t.Errorf("%s: got %d statuses, %d bad (%v), format %q, error %v; want %d, %d, %q", c.sentence, len(all),
				f.Bad, f.LastBad, f.Format(), err, c.n, c.bad, c.format)
		}
		if c.bad > 0 {
			if _, err := readAll(NewFile("stats.ndjson", strings.NewReader(c.text))); err == nil ||
				!strings.Contains(err.Error(), "stats.ndjson:") {
				t.Errorf("%s: without skipping: got %v, want an error with file and line", c.sentence, err)
			}
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	text := AppendRecord(nil, testStatus(1))
	text = append(text, "{\"at\":\"2026-01-01T00:00:00Z\",\"now_ms\":NaN}\n"...)
	_, err := readAll(NewFile("x.ndjson", bytes.NewReader(text)))
	if err == nil || !strings.Contains(err.Error(), "x.ndjson:2:") {
		t.Errorf("got %v, want the second line named", err)
	}
	if ReasonOf(err) != ReasonMalformed {
		t.Errorf("got reason %q, want %q", ReasonOf(err), ReasonMalformed)
	}
}

func TestSeedFormatOfTheOlderRecorder(t *testing.T) {
	path := "../../shared/data/seed/example.json"
	if _, err := os.Stat(path); err != nil {
		t.Skip("the example of the older format is not on this machine")
	}
	n, last := 0, Sample{}
	rejected, err := Samples([]string{path}, false, func(s Sample) error { n++; last = s; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if n != 135 || rejected[ReasonFirst] != 1 || len(rejected) != 2 || rejected[ReasonMalformed] != 0 {
		t.Errorf("got %d samples, rejected %v; want 135 of 136 lines", n, rejected)
	}
	if len(last.Groups) != 3 || len(last.Groups[0].Peers) != 3 || last.Interval != seedInterval {
		t.Errorf("got %+v, want 3 groups of 3 servers, one second", last)
	}
}

func TestRecorderFilesCanBeRead(t *testing.T) {
	for _, name := range []string{"s.ndjson", "s.ndjson.zst"} {
		path := filepath.Join(t.TempDir(), name)
		r, err := OpenRecorder(RecorderConfig{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for n := range uint64(50) {
			if err := r.Write(testStatus(n)); err != nil {
				t.Fatal(err)
			}
		}
		// Not closed: as when the process is killed.
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		all, err := readAll(f)
		if err != nil || len(all) != 50 {
			t.Errorf("%s, not closed: got %d statuses and %v, want 50", name, len(all), err)
		}
		f.Close()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if f, err = Open(path); err != nil {
			t.Fatal(err)
		}
		if all, err = readAll(f); err != nil || len(all) != 50 {
			t.Errorf("%s, closed: got %d statuses and %v, want 50", name, len(all), err)
		}
		f.Close()
		if _, err := OpenRecorder(RecorderConfig{Path: path}); err == nil {
			t.Errorf("%s: opened again without append: got no error", name)
		}
	}
}

func TestRecorderGoesOnAfterTheLastWholeLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.ndjson")
	whole := AppendRecord(nil, testStatus(1))
	if err := os.WriteFile(path, append(whole, whole[:30]...), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRecorder(RecorderConfig{Path: path, Append: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Write(testStatus(2)), r.Close()); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(path)
	if want := AppendRecord(bytes.Clone(whole), testStatus(2)); !bytes.Equal(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRecorderRotatesBySize(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.ndjson")
	r, err := OpenRecorder(RecorderConfig{Path: path, RotateBytes: 2000, SyncEvery: 1})
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(10) {
		if err := r.Write(testStatus(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	total := 0
	for _, name := range names {
		f, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		all, err := readAll(f)
		if err != nil {
			t.Error(err)
		}
		total += len(all)
		f.Close()
	}
	if len(names) < 3 || total != 10 {
		t.Errorf("got %v with %d statuses, want several files with 10", names, total)
	}
	if _, err := os.Stat(filepath.Join(dir, "s.0001.ndjson")); err != nil {
		t.Error(err)
	}
}
