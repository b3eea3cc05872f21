package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"trimtab/localhttp"
)

// listenAgain is how long the daemon waits before it tries to listen once more.
const listenAgain = 10 * time.Second

// opener returns how to listen on the address: by this process, or by the helper, who is root and hands over the
// socket.
func (d *Service) opener(address string) func(context.Context) (net.Listener, error) {
	open := func(ctx context.Context) (net.Listener, error) {
		return localhttp.Listen(ctx, address, localhttp.Limits{})
	}
	if d.opts.Helper != nil {
		open = func(context.Context) (net.Listener, error) {
			l, err := d.opts.Helper.Listen()
			if err != nil {
				return nil, err
			}
			return localhttp.Limited(handed{l, address}, localhttp.Limits{}), nil
		}
	}
	return func(ctx context.Context) (net.Listener, error) {
		l, err := open(ctx)
		d.trouble(troubleListen, err)
		return l, err
	}
}

// handed is a listener that another process has opened under a passing name.
type handed struct {
	net.Listener
	address string
}

func (l handed) Addr() net.Addr {
	if path, ok := strings.CutPrefix(l.address, "unix:"); ok {
		return &net.UnixAddr{Name: path, Net: "unix"}
	}
	return l.Listener.Addr()
}

// listen serves the handler on what open opens until ctx ends. An address that is taken does not end the daemon, which
// has better things to do: it is said once, and tried again every few seconds until it is free. It returns where it
// listens, nil when it does not yet.
func listen(ctx context.Context, log *slog.Logger, open func(context.Context) (net.Listener, error),
	handler http.Handler,
	again time.Duration) net.Addr {
	l, err := open(ctx)
	if err != nil {
		log.Error("not listening: metrics, health and explanations cannot be had for now", "error", err, "again_in",
			again)
		go func() {
			tick := time.NewTicker(again)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if l, err := open(ctx); err == nil {
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
