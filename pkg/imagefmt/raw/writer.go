package raw

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// Options are named as for qemu-img.
func (Format) Options() []imagefmt.Option {
	return []imagefmt.Option{
		{Key: "preallocation", Default: "off", Help: "reserve the room of holes, or write zeros in them", Choices: []string{"off", "falloc", "full"}},
	}
}

// Create starts a raw image of size bytes. All sinks will do.
func (Format) Create(_ context.Context, sink imagefmt.Sink, size int64, opts imagefmt.CreateOptions) (imagefmt.Writer, error) {
	p := imagefmt.Problems{Format: "raw"}
	reserve := p.Values(Format{}.Options(), opts.Values)["preallocation"]
	if size < 0 {
		p.Add("impossible size %d", size)
	}
	if opts.Compress {
		p.Add("images cannot be compressed")
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	w := &writer{
		ascent: imagefmt.Ascent{Name: "raw", Size: size},
		disk:   imagefmt.Flat{Sink: sink, Sparse: sink.Seekable() && sink.Zeroed()},
	}
	return w, w.begun(reserve)
}

// begun sets the size, and reserves the room where that is wanted. The room of a
// pipe or a device needs no reservation: all of it is written.
func (w *writer) begun(reserve string) error {
	sink := w.disk.Sink
	if !sink.Seekable() {
		return nil
	}
	if err := sink.Truncate(w.ascent.Size); err != nil {
		return err
	}
	switch {
	case !w.disk.Sparse:
		return nil
	case reserve == "full":
		w.disk.Sparse = false
		return nil
	case reserve == "falloc":
		return imagefmt.Allocate(sink, 0, w.ascent.Size, false)
	}
	return nil
}

// writer puts bytes where they belong.
type writer struct {
	ascent imagefmt.Ascent
	disk   imagefmt.Flat
}

func (w *writer) WriteAt(p []byte, off int64) (int, error) {
	if err := w.ascent.Admit(off, int64(len(p))); err != nil {
		return 0, err
	}
	if err := w.ascent.Keep(w.disk.Put(p, off)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *writer) Zero(off, n int64) error {
	if err := w.ascent.Admit(off, n); err != nil {
		return err
	}
	return w.ascent.Keep(w.disk.Fill(off + n))
}

var _ imagefmt.Cloner = (*writer)(nil)

// CanClone: a raw disk's bytes lie in its file as they are.
func (w *writer) CanClone(from blockdev.HostPos) bool {
	return w.disk.Sparse && imagefmt.CanClone(w.disk.Sink, from)
}

func (w *writer) CloneAt(from blockdev.HostPos, off, n int64) error {
	if err := w.ascent.Admit(off, n); err != nil {
		return err
	}
	return w.ascent.Keep(w.disk.Sink.(imagefmt.CloneSink).CloneAt(from, off, n))
}

// Finish settles the rest of the disk and syncs.
func (w *writer) Finish(ctx context.Context) error {
	return w.ascent.Finish(ctx, func() error {
		if err := w.disk.Fill(w.ascent.Size); err != nil {
			return err
		}
		return w.disk.Sink.Sync()
	})
}

// Abort ends the image. The sink's owner removes what was written.
func (w *writer) Abort() error { return w.ascent.Abort() }
