package vts

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// BenchmarkPoll is one poll of a 3 × 3 status with histograms, all of it: request, decoding, difference, record.
func BenchmarkPoll(b *testing.B) {
	body := page(3, 3, 20, 63)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }))
	defer server.Close()
	client, err := NewClient(ClientConfig{URL: server.URL})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	poller, err := NewPoller(client, PollerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"s.ndjson", "s.ndjson.zst"} {
		b.Run(name, func(b *testing.B) {
			recorder, err := OpenRecorder(RecorderConfig{Path: filepath.Join(b.TempDir(), name)})
			if err != nil {
				b.Fatal(err)
			}
			defer recorder.Close()
			b.ReportAllocs()
			for b.Loop() {
				ev := poller.Step(context.Background())
				if ev.Status == nil {
					b.Fatal(ev.Err)
				}
				if err := recorder.Write(ev.Status); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
