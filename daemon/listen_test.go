package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"trimtab/localhttp"
)

// A port that somebody else has taken does not end the daemon, and is used once it is free.
func TestListenWaitsForAPortThatIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := taken.Addr().String()
	said := new(buffer)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	open := func(ctx context.Context) (net.Listener, error) {
		return localhttp.Listen(ctx, address, localhttp.Limits{})
	}
	if addr := listen(t.Context(), slog.New(slog.NewTextHandler(said, nil)), open, handler,
		10*time.Millisecond); addr != nil {
		t.Fatalf("got %v, want no address yet", addr)
	}
	if !strings.Contains(said.String(), "not listening") || !strings.Contains(said.String(), "address already in use") {
		t.Errorf("got log %s, want that it does not listen and why", said)
	}
	taken.Close()
	client, base := localhttp.Client(address)
	answered := func() bool {
		resp, err := client.Get(base + "/")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return err == nil && string(text) == "ok"
	}
	for deadline := time.Now().Add(10 * time.Second); !answered(); {
		if time.Now().After(deadline) {
			t.Fatal("got no answer within 10s of the port being free, want one")
		}
		runtime.Gosched()
	}
}
