package nginx

import (
	"fmt"
	"time"
)

// WorkersStarted is when the oldest worker of a master that is serving was started, to 10 ms: when the configuration in force was
// loaded, unless a worker has died since.
func WorkersStarted(masterPID int) (time.Time, error) {
	all, err := workers(masterPID)
	if err != nil {
		return time.Time{}, err
	}
	oldest := uint64(0)
	for _, w := range all {
		if !w.draining && (oldest == 0 || w.started < oldest) {
			oldest = w.started
		}
	}
	if oldest == 0 {
		return time.Time{}, fmt.Errorf("NGINX master %d has no worker that serves", masterPID)
	}
	return worker{started: oldest}.since(time.Now()), nil
}
