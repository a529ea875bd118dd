package osfile

import (
	"os"
	"runtime"
)

// Spill is a temporary file for what does not fit in memory, as
// blockdev.OverlayOptions wants it.
type Spill struct {
	*os.File
}

// NewSpill makes a spill file in the folder; "" stands for the system's one.
// Where the system allows it the file has no name any more, and so goes with
// the process however that ends.
func NewSpill(dir string) (*Spill, error) {
	f, err := os.CreateTemp(dir, ".vmconv-spill-*")
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" {
		os.Remove(f.Name())
	}
	return &Spill{f}, nil
}

// Close closes the file and removes it.
func (s *Spill) Close() error {
	err := s.File.Close()
	if runtime.GOOS == "windows" {
		os.Remove(s.Name())
	}
	return err
}
