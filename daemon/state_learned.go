package daemon

import (
	"encoding/json"
	"errors"
	"fmt"

	"trimtab/tuner"
)

// Learned is what the tuner of a run had learned when its state was saved.
func (s State) Learned() (tuner.Snapshot, error) {
	var out tuner.Snapshot
	if len(s.Snapshot) == 0 {
		return out, errors.New("nothing was learned yet")
	}
	if err := json.Unmarshal(s.Snapshot, &out); err != nil {
		return out, fmt.Errorf("read what was learned: %w", err)
	}
	if out.Version != tuner.SnapshotVersion {
		return out, fmt.Errorf("read what was learned: %w %d", tuner.ErrSnapshotVersion, out.Version)
	}
	return out, nil
}
