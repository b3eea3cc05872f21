package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ReadStatus asks the servers of a fleet where it stands: what the last centre that planned said, also when it is gone
// since.
func ReadStatus(ctx context.Context, servers []string, id Identity) (Status, error) {
	nc, err := dial(servers, id, slog.New(slog.DiscardHandler), nats.RetryOnFailedConnect(false), nats.NoReconnect())
	if err != nil {
		return Status{}, err
	}
	defer nc.Close()
	if ctx.Err() != nil {
		return Status{}, ctx.Err()
	}
	text, err := get(nc, statusBucket, statusKey, 5*time.Second)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Status{}, errors.New("read status of fleet: no centre has planned yet")
	}
	if err != nil {
		return Status{}, fmt.Errorf("read status of fleet: %w", err)
	}
	var st Status
	if err := json.Unmarshal(text, &st); err != nil {
		return Status{}, fmt.Errorf("read status of fleet: %w", err)
	}
	return st, nil
}
