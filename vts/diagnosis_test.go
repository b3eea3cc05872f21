package vts

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

func TestDiagnoseSaysWhatThePageIs(t *testing.T) {
	body := page(2, 3, 4, 63)
	client, err := NewClient(ClientConfig{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Write(body)
	})})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	d, err := client.Diagnose(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if d.Version != "v0.2.7" || d.Servers != 6 || d.Bytes != len(body) || !d.Histograms || d.PollMean <= 0 ||
		d.PollMax < d.PollMean || d.Requests != 6*167 || len(d.PassedOver) != 0 {
		t.Errorf("got %+v", d)
	}
	if d.ClockSkew > -time.Hour && d.ClockSkew < time.Hour {
		t.Errorf("got skew %v between a page of the past or future and now", d.ClockSkew)
	}
}

func TestDiagnosisNamesServersThatArePassedOver(t *testing.T) {
	for _, c := range []struct {
		sentence string
		silent   Peer
		others   uint64
		want     []string
	}{
		{"a third of 300 requests were due to it", Peer{Server: "b", Weight: 1}, 300, []string{"b of g"}},
		{"too few to tell", Peer{Server: "b", Weight: 1}, 20, nil},
		{"a small weight makes for few", Peer{Server: "b", Weight: 1}, 100, []string{"b of g"}},
		{"one that is down has none by right", Peer{Server: "b", Weight: 1, Down: true}, 1000, nil},
		{"so has a backup", Peer{Server: "b", Weight: 1, Backup: true}, 1000, nil},
		{"one with requests is heard", Peer{Server: "b", Weight: 1, Requests: 1}, 1000, nil},
	} {
		var d Diagnosis
		d.judge(&Status{Upstreams: []Upstream{{Name: "g", Peers: []Peer{{Server: "a", Weight: 2, Requests: c.others},
			c.silent}}}})
		if !slices.Equal(d.PassedOver, c.want) {
			t.Errorf("%s: got %v, want %v", c.sentence, d.PassedOver, c.want)
		}
	}
}
