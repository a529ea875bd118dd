package raw

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	// holeSize is how many zeros, aligned, become a hole: the block size of
	// nearly all file systems.
	holeSize = 4096
	// zeroStep is how many zeros are written at once where there are no holes.
	zeroStep = 1 << 20
)

// Options are named as for qemu-img.
func (Format) Options() []imagefmt.Option {
	return []imagefmt.Option{
		{Key: "preallocation", Default: "off", Help: "reserve the room of holes, or write zeros in them", Choices: []string{"off", "falloc", "full"}},
	}
}

// Create starts a raw image of size bytes. All sinks will do.
func (Format) Create(_ context.Context, sink imagefmt.Sink, size int64, opts imagefmt.CreateOptions) (imagefmt.Writer, error) {
	var problems []error
	if size < 0 {
		problems = append(problems, ondisk.Because(ondisk.ErrUnsupported, "raw: impossible size %d", size))
	}
	if opts.Compress {
		problems = append(problems, ondisk.Because(ondisk.ErrUnsupported, "raw: images cannot be compressed"))
	}
	reserve := "off"
	for _, key := range slices.Sorted(maps.Keys(opts.Values)) {
		switch v := opts.Values[key]; {
		case key != "preallocation":
			problems = append(problems, ondisk.Because(ondisk.ErrUnsupported, "raw: unknown option %s", key))
		case v != "off" && v != "falloc" && v != "full":
			problems = append(problems, ondisk.Because(ondisk.ErrUnsupported, "raw: preallocation=%q is not one of off, falloc, full", v))
		default:
			reserve = v
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	w := &writer{sink: sink, size: size, sparse: sink.Seekable() && sink.Zeroed()}
	return w, w.begun(reserve)
}

// begun sets the size, and reserves the room where that is wanted. The room of a
// pipe or a device needs no reservation: all of it is written.
func (w *writer) begun(reserve string) error {
	if !w.sink.Seekable() {
		return nil
	}
	if err := w.sink.Truncate(w.size); err != nil {
		return err
	}
	switch {
	case !w.sparse:
		return nil
	case reserve == "full":
		w.sparse = false
		return nil
	case reserve == "falloc":
		return imagefmt.Allocate(w.sink, 0, w.size, false)
	}
	return nil
}

// writer puts bytes where they belong. All before next is settled.
type writer struct {
	sink   imagefmt.Sink
	size   int64
	next   int64
	sparse bool // what is not written reads as zeros
	zeros  []byte
	ended  bool
	err    error // the first failure; there is no image after it
}

var errAborted = errors.New("raw: the image was given up")

func (w *writer) WriteAt(p []byte, off int64) (int, error) {
	if err := w.begin(off, int64(len(p))); err != nil {
		return 0, err
	}
	if w.err = w.write(p, off); w.err != nil {
		return 0, w.err
	}
	w.next = off + int64(len(p))
	return len(p), nil
}

func (w *writer) Zero(off, n int64) error {
	if err := w.begin(off, n); err != nil {
		return err
	}
	w.err = w.fill(off + n)
	return w.err
}

var _ imagefmt.Cloner = (*writer)(nil)

// CanClone: a raw disk's bytes lie in its file as they are.
func (w *writer) CanClone(from blockdev.HostPos) bool {
	return w.sparse && imagefmt.CanClone(w.sink, from)
}

func (w *writer) CloneAt(from blockdev.HostPos, off, n int64) error {
	if err := w.begin(off, n); err != nil {
		return err
	}
	if w.err = w.sink.(imagefmt.CloneSink).CloneAt(from, off, n); w.err == nil {
		w.next = off + n
	}
	return w.err
}

// begin checks a range and settles the gap before it. A mistake of the caller
// leaves the image as it was.
func (w *writer) begin(off, n int64) error {
	switch {
	case w.err != nil:
		return w.err
	case w.ended:
		return errors.New("raw: write after the image was finished")
	case !ondisk.InRange(off, n, w.size):
		return fmt.Errorf("raw: write %d+%d outside a disk of %d bytes", off, n, w.size)
	case off < w.next:
		return fmt.Errorf("raw: write at %d after one that ended at %d", off, w.next)
	}
	w.err = w.fill(off)
	return w.err
}

// fill makes all bytes from next to end zeros.
func (w *writer) fill(end int64) error {
	if w.sparse {
		w.next = end
		return nil
	}
	if w.zeros == nil && w.next < end {
		w.zeros = make([]byte, zeroStep)
	}
	for w.next < end {
		n := min(end-w.next, zeroStep)
		if _, err := w.sink.WriteAt(w.zeros[:n], w.next); err != nil {
			return err
		}
		w.next += n
	}
	return nil
}

// write writes p but for the holes in it.
func (w *writer) write(p []byte, off int64) error {
	for len(p) > 0 {
		skip, n := 0, len(p)
		if w.sparse {
			skip, n = dataRun(p, off)
		}
		if n > skip {
			if _, err := w.sink.WriteAt(p[skip:n], off+int64(skip)); err != nil {
				return err
			}
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// dataRun finds the first run of blocks in p that are not all zeros, as the
// range [from, to) of p. Blocks are aligned in the image, not in p.
func dataRun(p []byte, off int64) (from, to int) {
	for from < len(p) && ondisk.IsZero(p[from:blockEnd(p, off, from)]) {
		from = blockEnd(p, off, from)
	}
	to = from
	for to < len(p) && !ondisk.IsZero(p[to:blockEnd(p, off, to)]) {
		to = blockEnd(p, off, to)
	}
	return from, to
}

func blockEnd(p []byte, off int64, at int) int {
	return min(len(p), at+holeSize-int((off+int64(at))%holeSize))
}

// Finish settles the rest of the disk and syncs.
func (w *writer) Finish(ctx context.Context) error {
	if w.ended || w.err != nil {
		return w.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.err = w.fill(w.size); w.err == nil {
		w.err = w.sink.Sync()
	}
	w.ended = true
	return w.err
}

// Abort ends the image. The sink's owner removes what was written.
func (w *writer) Abort() error {
	if !w.ended {
		w.ended, w.err = true, errAborted
	}
	return nil
}
