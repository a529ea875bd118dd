package osfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// txnFile is one file of a transaction: an overlay over the host's file, with a
// size of its own. It is safe for concurrent use.
type txnFile struct {
	txn     *Txn
	path    string // as the user gave it
	real    string
	file    hostFile
	oldSize int64
	options Options
	overlay *blockdev.Overlay
	base    *txnBase

	mu   sync.RWMutex // orders changes of size and all else
	size int64
}

var (
	_ imagefmt.File     = (*txnFile)(nil)
	_ blockdev.Extenter = (*txnFile)(nil)
)

func (f *txnFile) Name() string     { return f.path }
func (f *txnFile) Identity() string { return f.file.identity() }

// Close does nothing: an image owns its file and closes it, but the transaction
// needs it until it ends.
func (f *txnFile) Close() error { return nil }

// Sync does nothing: the commit does.
func (f *txnFile) Sync() error { return nil }

func (f *txnFile) Sibling(name string) (imagefmt.Source, error) {
	return sibling(f.path, name, f.options)
}

// SiblingFile opens the file by the policy first, and lets it go again: the
// lock of a reader would be in the way of the transaction's.
func (f *txnFile) SiblingFile(name string) (imagefmt.File, error) {
	src, err := f.Sibling(name)
	if errors.Is(err, ondisk.ErrInUse) && f.txn.holds(filepath.Join(filepath.Dir(f.path), filepath.FromSlash(name))) {
		err = ondisk.At(f.path, "extent", ondisk.NoOffset).Corrupt("%q is named twice", name)
	}
	if err != nil {
		return nil, err
	}
	path, identity := src.Name(), src.Identity()
	if err := src.Close(); err != nil {
		return nil, err
	}
	file, err := f.txn.File(context.Background(), path)
	if err == nil && file.Identity() != identity {
		err = fmt.Errorf("%s was replaced while it was opened", path)
	}
	return file, err
}

func (f *txnFile) Size() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.size
}

func (f *txnFile) ReadAt(p []byte, off int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if off >= f.size {
		return 0, io.EOF
	}
	short := off >= 0 && int64(len(p)) > f.size-off
	if short {
		p = p[:f.size-off]
	}
	n, err := f.overlay.ReadAt(p, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

func (f *txnFile) NextExtent(off, n int64) (blockdev.Extent, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return blockdev.NextExtent(f.overlay, off, n)
}

// WriteAt grows the file where needed.
func (f *txnFile) WriteAt(p []byte, off int64) (int, error) {
	end, ok := ondisk.AddOK(off, int64(len(p)))
	if !ok {
		return 0, fmt.Errorf("%s: write at impossible offset %d", f.path, off)
	}
	if end > f.Size() {
		if err := f.resize(end, true); err != nil {
			return 0, err
		}
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.overlay.WriteAt(p, off)
}

func (f *txnFile) Truncate(size int64) error {
	if size < 0 {
		return fmt.Errorf("%s: impossible size %d", f.path, size)
	}
	return f.resize(size, false)
}

func (f *txnFile) resize(size int64, onlyGrow bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if onlyGrow && size <= f.size {
		return nil
	}
	var err error
	if size < f.size {
		err = f.forget(size)
	} else {
		err = f.uncover(size)
	}
	if err == nil {
		f.size = size
	}
	return err
}

// forget makes all beyond size zeros, should the file grow again.
func (f *txnFile) forget(size int64) error {
	for e, err := range f.overlay.Changed(context.Background()) {
		if err != nil {
			return err
		}
		if from := max(e.Off, size); from < e.End() {
			if err := f.zero(from, e.End()); err != nil {
				return err
			}
		}
	}
	f.base.limit = min(f.base.limit, size)
	return nil
}

// uncover writes zeros over what the host's file still has between the size it
// was cut to and the new one.
func (f *txnFile) uncover(size int64) error {
	end := min(size, f.oldSize)
	if f.base.limit >= end {
		return nil
	}
	if err := f.zero(f.base.limit, end); err != nil {
		return err
	}
	f.base.limit = end
	return nil
}

func (f *txnFile) zero(off, end int64) error {
	zeros := make([]byte, min(end-off, 1<<20))
	for off < end {
		n := min(end-off, int64(len(zeros)))
		if _, err := f.overlay.WriteAt(zeros[:n], off); err != nil {
			return err
		}
		off += n
	}
	return nil
}

// changed reports whether there is anything to commit.
func (f *txnFile) changed() bool { return f.overlay.Dirty() || f.Size() != f.oldSize }

// txnBase is the host's file as a device without end: zeros follow it. Bytes
// from limit on are hidden as zeros, too.
type txnBase struct {
	file  hostFile
	limit int64
}

func (b *txnBase) Size() int64 { return math.MaxInt64 }

func (b *txnBase) ReadAt(p []byte, off int64) (int, error) {
	if err := readPadded(b.file, p, off, b.limit); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (b *txnBase) NextExtent(off, n int64) (blockdev.Extent, error) {
	if off >= b.limit {
		return blockdev.Extent{Off: off, Len: n, Kind: blockdev.Zero}, nil
	}
	kind, length, err := b.file.extent(off, min(n, b.limit-off))
	return blockdev.Extent{Off: off, Len: length, Kind: kind}, err
}
