package gym

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkSteps measures environment steps per second over HTTP, by the clock and by processor time: on a machine that
// is busy with other things the clock says little.
func BenchmarkSteps(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		for _, c := range []struct{ env, scenario, action string }{
			{WeightsID, "capacity-1-2-4-40", "[1,2,4,1,2,4,1,2,4]"},
			{EdgeID, "", "[3]"},
			{AutoscaleID, "", "[3,1,6,1,6,1,6,1]"},
			{ParkID, "", "[9]"},
		} {
			b.Run(fmt.Sprintf("%s x %d", filepath.Base(c.env), n), func(b *testing.B) {
				url := serve(b, 64, nil)
				_, made := call(b, "POST", url+"/v1/vec",
					fmt.Sprintf(`{"env": %q, "scenario": %q, "num_envs": %d}`, c.env, c.scenario, n))
				vec := url + "/v1/vec/" + made["id"].(string)
				call(b, "POST", vec+"/reset", `{"seed": 1}`)
				body := []byte(`{"actions": [` + strings.TrimSuffix(strings.Repeat(c.action+",", n), ",") + `]}`)
				before := used(b)
				for b.Loop() {
					resp, err := http.Post(vec+"/step", "application/json", bytes.NewReader(body))
					if err != nil {
						b.Fatal(err)
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
						b.Fatal(resp.StatusCode, err)
					}
					resp.Body.Close()
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "env-steps/s")
				b.ReportMetric(float64(b.N*n)/(used(b)-before).Seconds(), "env-steps/cpu-s")
				http.DefaultClient.CloseIdleConnections()
			})
		}
	}
}

// used is the processor time of this process.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
