package rival

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"

	"trimtab/neural"
)

// td3Checkpoint is all that training needs to go on.
type td3Checkpoint struct {
	Head          checkpointHead
	Random        []byte
	Memory        replay
	Nets          [][]float64 // parameters, in the order of nets
	Adams         [3]neural.Adam
	Scaler        neural.Scaler
	Known         bool
	Seen, Updates int
}

// nets are all networks of the training.
func (t *TD3) nets() []*neural.Net {
	x := t.train
	return []*neural.Net{t.actor, x.actorBehind, x.critics[0], x.critics[1], x.behind[0], x.behind[1]}
}

func (t *TD3) head() checkpointHead {
	return checkpointHead{Version: CheckpointVersion, Kind: KindTD3, Seed: t.train.cfg.Seed, Shape: t.shape}
}

// Save implements Trainee.
func (t *TD3) Save(w io.Writer) error {
	x := t.train
	random, err := x.source.MarshalBinary()
	if err != nil {
		return fmt.Errorf("write checkpoint of td3: %w", err)
	}
	c := td3Checkpoint{Head: t.head(), Random: random, Memory: *x.memory, Scaler: t.scaler, Known: t.known,
		Seen: x.seen, Updates: x.updates,
		Adams: [3]neural.Adam{x.actorAdam, x.criticAdams[0], x.criticAdams[1]}}
	for _, n := range t.nets() {
		c.Nets = append(c.Nets, n.Params)
	}
	if err := gob.NewEncoder(w).Encode(c); err != nil {
		return fmt.Errorf("write checkpoint of td3: %w", err)
	}
	return nil
}

// Restore implements Trainee.
func (t *TD3) Restore(r io.Reader) error {
	var c td3Checkpoint
	if err := gob.NewDecoder(r).Decode(&c); err != nil {
		return fmt.Errorf("read checkpoint of td3: %w", err)
	}
	x := t.train
	if err := c.Head.check(t.head()); err != nil {
		return fmt.Errorf("read checkpoint of td3: %w", err)
	}
	other := errors.New("read checkpoint of td3: of networks of another shape, or other settings")
	nets := t.nets()
	if len(c.Nets) != len(nets) || c.Memory.Width != x.memory.Width || c.Memory.Picks != x.memory.Picks ||
		c.Memory.Room != x.cfg.Room {
		return other
	}
	for i, n := range nets {
		if len(c.Nets[i]) != len(n.Params) {
			return other
		}
	}
	if err := x.source.UnmarshalBinary(c.Random); err != nil {
		return fmt.Errorf("read checkpoint of td3: %w", err)
	}
	for i, n := range nets {
		copy(n.Params, c.Nets[i])
	}
	x.actorAdam, x.criticAdams[0], x.criticAdams[1] = c.Adams[0], c.Adams[1], c.Adams[2]
	t.scaler, t.known, x.seen, x.updates = c.Scaler, c.Known, c.Seen, c.Updates
	x.memory, x.before, x.last = &c.Memory, nil, nil
	return nil
}
