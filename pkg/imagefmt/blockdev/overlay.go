package blockdev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
)

// OverlayOptions tune an [Overlay]. The zero value keeps all in memory.
type OverlayOptions struct {
	// Memory is how many bytes of changed pages stay in memory before they go
	// to Spill; 0 means 64 MiB. Without Spill the overlay fails beyond it.
	Memory int64
	// Spill opens the file that holds pages beyond Memory. It is called once.
	Spill func() (SpillFile, error)
}

// SpillFile holds pages that no longer fit in memory. Whoever made the overlay
// removes it.
type SpillFile interface {
	io.ReaderAt
	io.WriterAt
}

// ErrOverlayFull is what a write gets that needs more pages than fit in memory
// when there is no spill file.
var ErrOverlayFull = errors.New("blockdev: changes exceed the overlay's memory, and it has no spill file")

const defaultOverlayMemory = 64 << 20

// Overlay is a writable view of a device that is never written: three layers,
// each exact to the byte. What was written covers what was discarded, whichever
// came first, and that covers inner. All methods are safe for concurrent use; a
// read that runs at the same time as a write sees each byte old or new.
type Overlay struct {
	inner Device

	mu        sync.RWMutex
	written   pageTable
	discarded spanSet
}

var (
	_ Writable = (*Overlay)(nil)
	_ Extenter = (*Overlay)(nil)
	_ Geometry = (*Overlay)(nil)
)

// NewOverlay puts an overlay without changes over inner.
func NewOverlay(inner Device, o OverlayOptions) *Overlay {
	if o.Memory <= 0 {
		o.Memory = defaultOverlayMemory
	}
	return &Overlay{inner: inner, written: newPageTable(o)}
}

func (o *Overlay) Size() int64 { return o.inner.Size() }

func (o *Overlay) SectorSize() (logical, physical int) { return SectorSize(o.inner) }

// Sync does nothing: an overlay is as lasting as the process.
func (o *Overlay) Sync() error { return nil }

// Dirty reports whether anything was written. Discards do not count: they only
// give up bytes that nobody owns.
func (o *Overlay) Dirty() bool { return o.ChangedBytes() > 0 }

// ChangedBytes is how many bytes of the device were written, each counted once.
func (o *Overlay) ChangedBytes() int64 {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.written.bytes
}

// ReadAt follows io.ReaderAt. The lock is not held while inner is read: inner
// does not change, so what it gives is right whenever it gives it.
func (o *Overlay) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("blockdev: negative offset %d", off)
	}
	size := o.Size()
	if off >= size {
		return 0, io.EOF
	}
	short := int64(len(p)) > size-off
	if short {
		p = p[:size-off]
	}
	below, n, err := o.readChanges(p, off)
	for _, s := range below {
		got, innerErr := o.inner.ReadAt(p[s.off-off:s.end-off], s.off)
		if int64(got) < s.end-s.off {
			return int(s.off-off) + got, unexpected(innerErr)
		}
	}
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// readChanges fills what the overlay knows of p, and lists what inner has to
// give before n, which is short of len(p) only on an error.
func (o *Overlay) readChanges(p []byte, off int64) (below []span, n int, err error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	end := off + int64(len(p))
	for at := off; at < end; {
		from, next := o.layerAt(at, end)
		dst := p[at-off : next-off]
		switch from {
		case layerWritten:
			if err := o.written.read(dst, at); err != nil {
				return below, int(at - off), err
			}
		case layerDiscarded:
			clear(dst)
		case layerInner:
			below = append(below, span{at, next})
		}
		at = next
	}
	return below, len(p), nil
}

// unexpected is the error of a read that ended inside its device.
func unexpected(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// WriteAt keeps p. It fails whole when p would end beyond the device, and with
// [ErrOverlayFull] or the spill file's error when there is no more room.
func (o *Overlay) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > o.Size() || int64(len(p)) > o.Size()-off {
		return 0, fmt.Errorf("blockdev: write %d+%d outside a device of %d bytes", off, len(p), o.Size())
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written.write(p, off)
}

// Discard gives up n bytes from off: they read as zeros, except for those that
// were or will be written.
func (o *Overlay) Discard(off, n int64) error {
	if off < 0 || n < 0 || off > o.Size() || n > o.Size()-off {
		return fmt.Errorf("blockdev: discard %d+%d outside a device of %d bytes", off, n, o.Size())
	}
	if n == 0 {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.discarded, _ = o.discarded.add(span{off, off + n})
	return nil
}

// layer says who gives a byte.
type layer uint8

const (
	layerInner layer = iota
	layerDiscarded
	layerWritten
)

// layerAt is the layer of the byte at off and where, before end, that may
// change. The caller holds the lock.
func (o *Overlay) layerAt(off, end int64) (layer, int64) {
	if w, ok := o.written.next(off); ok {
		if w.off <= off {
			return layerWritten, min(w.end, end)
		}
		end = min(end, w.off)
	}
	if d, ok := o.discarded.next(off); ok {
		if d.off <= off {
			return layerDiscarded, min(d.end, end)
		}
		end = min(end, d.off)
	}
	return layerInner, end
}

// NextExtent: written bytes are Data without a place on the host, discarded
// ones are Zero, and for the rest inner answers.
func (o *Overlay) NextExtent(off, n int64) (Extent, error) {
	kind, end := o.nextRun(off, off+n)
	switch kind {
	case layerWritten:
		return Extent{Off: off, Len: end - off, Kind: Data}, nil
	case layerDiscarded:
		return Extent{Off: off, Len: end - off, Kind: Zero}, nil
	default:
		return NextExtent(o.inner, off, end-off)
	}
}

// nextRun is layerAt with neighbours of the same layer joined.
func (o *Overlay) nextRun(off, end int64) (layer, int64) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	kind, at := o.layerAt(off, end)
	for at < end {
		k, next := o.layerAt(at, end)
		if k != kind {
			break
		}
		at = next
	}
	return kind, at
}

// Untouched reports whether all n bytes from off are inner's: neither written nor
// discarded.
func (o *Overlay) Untouched(off, n int64) bool {
	kind, end := o.nextRun(off, off+n)
	return kind == layerInner && end == off+n
}

// Changed lists what was written, ascending and merged, exact to the byte. What
// is written while it runs may be missed. It ends with ctx's error.
func (o *Overlay) Changed(ctx context.Context) iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		for at := int64(0); ; {
			if err := ctx.Err(); err != nil {
				yield(Extent{}, err)
				return
			}
			s, ok := o.nextWritten(at)
			if !ok || !yield(Extent{Off: s.off, Len: s.end - s.off, Kind: Data}, nil) {
				return
			}
			at = s.end
		}
	}
}

// nextWritten is the first run of written bytes that ends after off.
func (o *Overlay) nextWritten(off int64) (span, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	run, ok := o.written.next(off)
	for ok {
		s, more := o.written.next(run.end)
		if !more || s.off > run.end {
			break
		}
		run.end = s.end
	}
	return run, ok
}
