package cluster

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkFitCSV fits 10 million rows of 16 features, 8 components, without holding them. The rows can be changed
// by the environment variable TRIMTAB_STREAM_ROWS. The file, about 1.2 GB, is made anew in a temporary directory.
func BenchmarkFitCSV(b *testing.B) {
	rows := 10_000_000
	if v := os.Getenv("TRIMTAB_STREAM_ROWS"); v != "" {
		var err error
		if rows, err = strconv.Atoi(v); err != nil {
			b.Fatal(err)
		}
	} else if testing.Short() {
		b.Skip("writes a file of 1.2 GB")
	}
	path := filepath.Join(b.TempDir(), "x.csv")
	writeDraws(b, path, rows, 16, 8)
	file, err := OpenCSV(path)
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	for b.Loop() {
		m, err := FitCSV(b.Context(), file, Settings{K: 8})
		if err != nil {
			b.Fatal(err)
		}
		if m.Fit.N != rows {
			b.Fatalf("%d rows fitted, want %d", m.Fit.N, rows)
		}
		b.ReportMetric(m.Fit.LogLikelihoodPerSample, "loglik/row")
		b.ReportMetric(float64(m.Fit.Iterations), "iterations")
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/(1<<20), "file-MiB")
	b.ReportMetric(peakMiB(b), "peak-MiB")
}

// writeDraws writes draws of a mixture, a few decimals each as a tool would export them.
func writeDraws(b *testing.B, path string, rows, d, k int) {
	x, _, _ := drawMixture(1<<17, d, k, 2, 1)
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	for j := range d {
		w.WriteString("f" + strconv.Itoa(j) + ",\n"[min(j/(d-1), 1):][:1])
	}
	var line []byte
	for i := range rows {
		line = line[:0]
		// Draws are used again with a small shift, so that no two rows are the same text.
		shift := float64(i>>17) * 1e-3
		for _, v := range x.RawRowView(i % (1 << 17)) {
			line = append(strconv.AppendFloat(line, v+shift, 'f', 5, 64), ',')
		}
		line[len(line)-1] = '\n'
		w.Write(line)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
}

// peakMiB is the largest resident size of the process so far.
func peakMiB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc/self/status: ", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	kb, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}
