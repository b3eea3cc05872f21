package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"trimtab/localhttp"
)

// listenAgain is how long the daemon waits before it tries to listen once more.
const listenAgain = 10 * time.Second

// listen serves the handler on the address until ctx ends. An address that is taken does not end the daemon, which has better
// things to do: it is said once, and tried again every few seconds until it is free. It returns where it listens, nil when
// it does not yet.
func listen(ctx context.Context, log *slog.Logger, address string, handler http.Handler, again time.Duration) net.Addr {
	l, err := localhttp.Listen(ctx, address, localhttp.Limits{})
	if err != nil {
		log.Error("not listening: metrics, health and explanations cannot be had for now", "error", err, "again_in", again)
		go func() {
			tick := time.NewTicker(again)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if l, err := localhttp.Listen(ctx, address, localhttp.Limits{}); err == nil {
					log.Info("listening", "address", l.Addr().String())
					serve(ctx, log, l, handler)
					return
				}
			}
		}()
		return nil
	}
	log.Info("listening", "address", l.Addr().String())
	serve(ctx, log, l, handler)
	return l.Addr()
}

// serve answers on the listener, without waiting, until ctx ends.
func serve(ctx context.Context, log *slog.Logger, l net.Listener, handler http.Handler) {
	server := localhttp.NewServer(handler, localhttp.Limits{})
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	go func() { // a panic of a handler is contained by itself, and Serve does nothing but accept
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the page is not served any more", "error", err)
		}
	}()
	context.AfterFunc(ctx, func() { _ = server.Close() })
}
