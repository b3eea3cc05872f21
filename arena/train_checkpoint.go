package arena

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"trimtab/rival"
	"trimtab/trusted"
)

// trainingState is how far the training of one learner is. What is exported is kept in checkpoints.
type trainingState struct {
	Version int
	World   string // hash of the scenario and of what decides over the course of training
	Seed    uint64
	Episode int // finished
	Points  []CurvePoint
	Best    CurvePoint
	Since   int // evaluations since the best
	Seconds float64
	Stopped string
	Model   []byte // the best so far, JSON; empty: none
	Learner []byte // as the trainee wrote it
	model   *rival.Model
}

func (s *trainingState) curve() Curve {
	return Curve{Seed: s.Seed, Points: s.Points, Stopped: s.Stopped, Best: s.Best, model: s.model}
}

// checkpointPath is the file of a learner's checkpoint.
func (t *trainer) checkpointPath(seed uint64) string {
	return filepath.Join(t.c.Checkpoints, fmt.Sprintf("%s-%d.checkpoint", ModelName(t.c.Kind, t.c.Scenario.Name,
		t.c.Method), seed))
}

// ModelName is the name of a model's file, without its ending.
func ModelName(kind, scenario, method string) string {
	name := kind + "-" + scenario
	if method != "" {
		name += "-" + method
	}
	return name
}

// world is a hash of all that the course of training depends on beside the learner's own settings.
func (t *trainer) world() (string, error) {
	text, err := json.Marshal(struct {
		Version  int
		Scenario any
		Method   string
		Sim      SimOptions
		Every    int
		Plays    int
		Hosts    bool `json:",omitempty"`
	}{rival.CheckpointVersion, t.c.Scenario, t.c.Method, t.c.Sim, t.c.Every, t.c.Plays, t.c.Hosts})
	if err != nil {
		return "", fmt.Errorf("hash the scenario: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12]), nil
}

// save writes the checkpoint whole or not at all.
func (t *trainer) save(s *trainingState, student rival.Trainee) error {
	if t.c.Checkpoints == "" {
		return nil
	}
	var err error
	if s.World, err = t.world(); err != nil {
		return err
	}
	var learner, all bytes.Buffer
	if err := student.Save(&learner); err != nil {
		return err
	}
	s.Version, s.Learner = rival.CheckpointVersion, learner.Bytes()
	if s.model != nil {
		if s.Model, err = json.Marshal(s.model); err != nil {
			return fmt.Errorf("write checkpoint: %w", err)
		}
	}
	if err := gob.NewEncoder(&all).Encode(s); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	if err := os.MkdirAll(t.c.Checkpoints, 0o755); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	if err := trusted.WriteFile(t.checkpointPath(s.Seed), all.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// restore goes on from the learner's checkpoint, if there is one. One of another scenario or build is an error: it says
// what to delete.
func (t *trainer) restore(s *trainingState, student rival.Trainee) error {
	if t.c.Checkpoints == "" {
		return nil
	}
	path := t.checkpointPath(s.Seed)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	world, err := t.world()
	if err != nil {
		return err
	}
	var kept trainingState
	if err := gob.NewDecoder(bytes.NewReader(text)).Decode(&kept); err != nil {
		return fmt.Errorf("read checkpoint %s: %w: delete it to begin anew", path, err)
	}
	if kept.Version != rival.CheckpointVersion || kept.World != world || kept.Seed != s.Seed {
		return fmt.Errorf("read checkpoint %s: of another scenario, other settings or another version: delete it to "+
			"begin anew", path)
	}
	if err := student.Restore(bytes.NewReader(kept.Learner)); err != nil {
		return fmt.Errorf("%s: %w: delete it to begin anew", path, err)
	}
	*s = kept
	// A training that ended goes on when it may be longer now.
	s.Stopped = ""
	if s.Since >= t.c.Patience {
		s.Stopped = fmt.Sprintf("no better evaluation in %d", t.c.Patience)
	}
	if len(s.Model) > 0 {
		s.model = &rival.Model{}
		if err := json.Unmarshal(s.Model, s.model); err != nil {
			return fmt.Errorf("read checkpoint %s: %w", path, err)
		}
	}
	return nil
}
