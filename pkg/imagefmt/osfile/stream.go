package osfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Stream writes an image to a pipe, front to back. Closing w is left to its
// owner. It is not safe for concurrent use.
func Stream(w *os.File) imagefmt.Sink { return &stream{file: w} }

type stream struct {
	file *os.File
	at   int64
}

func (s *stream) WriteAt(p []byte, off int64) (int, error) {
	if off != s.at {
		return 0, fmt.Errorf("%s: a stream cannot go from byte %d to %d", s.file.Name(), s.at, off)
	}
	n, err := s.file.Write(p)
	s.at += int64(n)
	return n, err
}

func (s *stream) Name() string { return s.file.Name() }

func (s *stream) Truncate(int64) error {
	return ondisk.Because(ondisk.ErrUnsupported, "%s is a stream and has no size", s.file.Name())
}

// Sync is for streams that are redirected to a file; a pipe has nothing to sync.
func (s *stream) Sync() error {
	err := s.file.Sync()
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) && errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}

func (s *stream) Seekable() bool { return false }
func (s *stream) Zeroed() bool   { return true }

func (s *stream) Sibling(string) (imagefmt.Sink, error) {
	return nil, ondisk.Because(ondisk.ErrUnsupported, "%s is a stream: the image cannot have a second file", s.file.Name())
}
