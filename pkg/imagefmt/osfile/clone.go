package osfile

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

var _ imagefmt.CloneSink = (*Output)(nil)

// CanClone tries to share one block with a nameless file beside the output, once
// for each file that blocks come from.
func (o *Output) CanClone(from blockdev.HostPos) bool {
	if o.device != nil {
		return false
	}
	if can, known := o.clones[from.File]; known {
		return can
	}
	can := tryClone(filepath.Dir(o.path), from)
	if o.clones == nil {
		o.clones = map[blockdev.HostFile]bool{}
	}
	o.clones[from.File] = can
	return can
}

func tryClone(dir string, from blockdev.HostPos) bool {
	f, err := NewSpill(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	return f.Truncate(imagefmt.CloneUnit) == nil && cloneRange(f.File, from, 0, imagefmt.CloneUnit) == nil
}

// CloneAt shares the blocks, or copies what cannot be shared: some file systems
// limit how often.
func (o *Output) CloneAt(from blockdev.HostPos, off, n int64) error {
	err := errors.ErrUnsupported
	if o.device == nil {
		err = cloneRange(o.file, from, off, n)
	}
	if err == nil {
		return nil
	}
	src, ok := from.File.(io.ReaderAt)
	if !ok {
		return fmt.Errorf("%s: sharing blocks of %s: %w", o.path, from.File.Name(), err)
	}
	_, err = io.CopyBuffer(io.NewOffsetWriter(o, off), io.NewSectionReader(src, from.Off, n), make([]byte, 1<<20))
	return err
}
