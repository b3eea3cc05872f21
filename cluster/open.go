package cluster

import (
	"fmt"
	"os"
)

// OpenModel reads the model in the file at path; see ReadModel.
func OpenModel(path string) (*Model, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	defer file.Close()
	m, err := ReadModel(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}
