package emulated

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// idlePerServer connections are kept open: as many as requests are on the way at once in the worlds that come along.
const idlePerServer = 256

// Client is one for servers on loopback, without a proxy; an answer may take as long as the context of its request.
func Client() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: idlePerServer, Proxy: nil}}
}

// Ask posts a request with the deviate and a body of so many bytes, and returns its time in service, in s of the world.
func Ask(ctx context.Context, client *http.Client, url string, normal float64, size int) (serviceSec float64,
	err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(strings.Repeat("x", size)))
	if err != nil {
		return 0, fmt.Errorf("ask %s: %w", url, err)
	}
	req.Header.Set(normalHeader, strconv.FormatFloat(normal, 'g', -1, 64))
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask %s: %w", url, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, fmt.Errorf("ask %s: read the answer: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("ask %s: answered %s", url, resp.Status)
	}
	serviceSec, err = strconv.ParseFloat(resp.Header.Get(serviceHeader), 64)
	if err != nil {
		return 0, fmt.Errorf("ask %s: %s of the answer: %w", url, serviceHeader, err)
	}
	return serviceSec, nil
}

// Pause waits, and reports whether the context did not end before.
func Pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
