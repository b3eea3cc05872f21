package trusted

import (
	"errors"
	"os"
)

// WriteFile is Create, the content, and Close.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	f, err := Create(path, perm, false)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
