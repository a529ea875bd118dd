package imagefmttest

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// MemSink writes to a [MemFile]. The zero values of its fields make it a fresh
// file; set them before the first use.
type MemSink struct {
	// Pipe refuses Truncate, and writes that do not follow the one before.
	Pipe bool
	// Used reports that the sink holds old bytes, as a block device may.
	Used bool

	file   *MemFile
	synced int
	wrote  int64 // end of the last write, for pipes
}

var _ imagefmt.Sink = (*MemSink)(nil)

// NewSink makes an empty file in a folder of its own, and writes to it.
func NewSink(name string) *MemSink { return NewFolder().Sink(name) }

// Sink makes an empty file in the folder, and writes to it.
func (d *Folder) Sink(name string) *MemSink {
	return &MemSink{file: d.Put(name, nil)}
}

// NewUsedSink is a device of size bytes that holds rubbish and cannot change
// its size. The rubbish is 0xA5, in every byte.
func NewUsedSink(name string, size int64) *MemSink {
	rubbish := make([]byte, size)
	for i := range rubbish {
		rubbish[i] = 0xA5
	}
	return &MemSink{Used: true, file: NewSource(name, rubbish)}
}

func (s *MemSink) Name() string { return s.file.Name() }

// File is what was written, to be read again.
func (s *MemSink) File() *MemFile { return s.file }

// Synced is how often Sync was called.
func (s *MemSink) Synced() int { return s.synced }

func (s *MemSink) WriteAt(p []byte, off int64) (int, error) {
	if s.Pipe {
		if off != s.wrote {
			return 0, fmt.Errorf("imagefmttest: write at %d to a pipe that stands at %d", off, s.wrote)
		}
		s.wrote += int64(len(p))
	}
	if s.Used && !ondisk.InRange(off, int64(len(p)), s.file.Size()) {
		return 0, fmt.Errorf("imagefmttest: write %d+%d beyond a device of %d bytes", off, len(p), s.file.Size())
	}
	return s.file.WriteAt(p, off)
}

// Truncate is refused by a pipe. A device accepts sizes up to its own and stays
// as it is.
func (s *MemSink) Truncate(size int64) error {
	if s.Pipe {
		return ondisk.Because(ondisk.ErrUnsupported, "a pipe has no size")
	}
	if s.Used {
		if size > s.file.Size() {
			return ondisk.Because(ondisk.ErrNoSpace, "the device has %d bytes of %d", s.file.Size(), size)
		}
		return nil
	}
	return s.file.Truncate(size)
}

func (s *MemSink) Sync() error {
	s.synced++
	return nil
}

func (s *MemSink) Seekable() bool { return !s.Pipe }
func (s *MemSink) Zeroed() bool   { return !s.Used }

// Sibling makes an empty file beside this one.
func (s *MemSink) Sibling(name string) (imagefmt.Sink, error) {
	if s.Pipe {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "a pipe has no siblings")
	}
	return s.file.folder.Sink(name), nil
}
