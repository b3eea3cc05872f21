package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// dial connects to the servers as the identity says. It does not wait until one answers.
func dial(servers []string, id Identity, log *slog.Logger, o ...nats.Option) (*nats.Conn, error) {
	if len(servers) == 0 {
		return nil, errors.New("connect to fleet: no servers")
	}
	name, _, err := id.Name()
	if err != nil {
		return nil, fmt.Errorf("connect to fleet: %w", err)
	}
	cfg, err := id.TLS()
	if err != nil {
		return nil, fmt.Errorf("connect to fleet: %w", err)
	}
	options := nats.GetDefaultOptions()
	options.Servers, options.Name = servers, "trimtab "+name
	o = append([]nats.Option{nats.Secure(cfg), nats.CustomInboxPrefix(inboxPrefix(name)), nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(500 * time.Millisecond), nats.ReconnectJitter(200*time.Millisecond, 2*time.Second),
		nats.ReconnectBufSize(-1),
		nats.Timeout(10 * time.Second), nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("fleet connection lost", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) { // what comes next stands for what was dropped
				log.Debug("fleet connection", "error", err)
				return
			}
			log.Warn("fleet connection", "error", err)
		})}, o...)
	for _, set := range o {
		if err := set(&options); err != nil {
			return nil, fmt.Errorf("connect to fleet: %w", err)
		}
	}
	nc, err := options.Connect()
	if err != nil {
		return nil, fmt.Errorf("connect to fleet: %w", err)
	}
	return nc, nil
}

// get returns the last value of a key, by one request to whichever server holds it.
func get(nc *nats.Conn, bucket, key string, wait time.Duration) ([]byte, error) {
	m, err := nc.Request(getSubject(bucket, key), nil, wait)
	if err != nil {
		return nil, fmt.Errorf("get %s of %s: %w", key, bucket, err)
	}
	if status := m.Header.Get("Status"); status != "" && status != "200" {
		if status == "404" {
			return nil, jetstream.ErrKeyNotFound
		}
		return nil, fmt.Errorf("get %s of %s: %s %s", key, bucket, status, m.Header.Get("Description"))
	}
	if op := m.Header.Get("KV-Operation"); op != "" {
		return nil, jetstream.ErrKeyNotFound
	}
	return m.Data, nil
}
