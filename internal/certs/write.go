package certs

import (
	"fmt"
	"io/fs"

	"plantgate/internal/durable"
)

// writeFile replaces a file as a whole.
func writeFile(name string, content []byte, mode fs.FileMode) error {
	if err := durable.ReplaceFile(name, content, mode); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
