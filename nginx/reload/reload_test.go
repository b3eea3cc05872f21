package reload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"trimtab/control"
	"trimtab/nginx"
	"trimtab/vts"
	"trimtab/weights"
)

const page = `{"hostName":"h","moduleVersion":"v0.2.2","nginxVersion":"1.22.1","loadMsec":1000,"nowMsec":61000,
"connections":{"active":1,"reading":0,"writing":1,"waiting":0,"accepted":1,"handled":1,"requests":9},
"serverZones":{},"upstreamZones":{"app":[%s,%s]},"cacheZones":{}}`

func server(name, weight, down string) string {
	return fmt.Sprintf(`{"server":%q,"requestCounter":3,"inBytes":1,"outBytes":1,"responses":{"1xx":0,"2xx":3,"3xx":0,"4xx":0,"5xx":0},
"requestMsecCounter":3,"requestMsec":1,"requestMsecs":{"times":[],"msecs":[]},"requestBuckets":{"msecs":[],"counters":[]},
"responseMsecCounter":3,"responseMsec":1,"responseMsecs":{"times":[],"msecs":[]},"responseBuckets":{"msecs":[],"counters":[]},
"weight":%s,"maxFails":1,"failTimeout":10,"backup":false,"down":%s,"overCounts":{"maxIntegerSize":18446744073709551615,
"requestCounter":0,"inBytes":0,"outBytes":0,"1xx":0,"2xx":0,"3xx":0,"4xx":0,"5xx":0,"requestMsecCounter":0,"responseMsecCounter":0}}`,
		name, weight, down)
}

func TestInForceIsWhatThePageShows(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       weights.Set
	}{
		{"weights and who is down", fmt.Sprintf(page, server("10.0.0.1:80", "3", "false"),
			server("10.0.0.2:80", "5", "true")),
			weights.Set{"app": {"10.0.0.1:80": {Weight: weights.Clamp(3)}, "10.0.0.2:80": {Weight: weights.Clamp(5),
				Down: true}}}},
		{"a weight that none of ours could be is clamped", fmt.Sprintf(page, server("a", "1000", "false"),
			server("b", "1", "false")),
			weights.Set{"app": {"a": {Weight: weights.Clamp(100)}, "b": {}}}},
		{"no page: no telemetry", "", nil},
		{"another page: no telemetry", "<html>", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.text == "" {
					http.Error(w, "gone", http.StatusNotFound)
					return
				}
				_, _ = w.Write([]byte(c.text))
			}))
			defer s.Close()
			client, err := vts.NewClient(vts.ClientConfig{URL: s.URL, FreshConnections: true})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			got, err := Actuator{Applier: &nginx.Applier{Status: StatusOf(client)}}.InForce(context.Background())
			if errors.Is(err, control.ErrTelemetry) != (c.want == nil) || !got.Equal(c.want) {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}
