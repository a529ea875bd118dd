package vhd

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// fixedWriter writes a raw disk and the footer behind it.
type fixedWriter struct {
	ascent imagefmt.Ascent
	disk   imagefmt.Flat
	footer *diskFooter
}

var _ imagefmt.Writer = (*fixedWriter)(nil)

func newFixedWriter(sink imagefmt.Sink, s settings, f *diskFooter) (*fixedWriter, error) {
	w := &fixedWriter{
		ascent: imagefmt.Ascent{Name: layer, Size: s.size},
		disk:   imagefmt.Flat{Sink: sink, Sparse: sink.Seekable() && sink.Zeroed()},
		footer: f,
	}
	if !sink.Seekable() {
		return w, nil
	}
	if err := sink.Truncate(s.size + footerSize); err != nil {
		return nil, err
	}
	if !w.disk.Sparse || s.preallocation == "off" {
		return w, nil // where there are no holes, all is written anyhow
	}
	return w, imagefmt.Allocate(sink, 0, s.size+footerSize, s.preallocation == "full")
}

func (w *fixedWriter) WriteAt(p []byte, off int64) (int, error) {
	if err := w.ascent.Admit(off, int64(len(p))); err != nil {
		return 0, err
	}
	if err := w.ascent.Keep(w.disk.Put(p, off)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *fixedWriter) Zero(off, n int64) error {
	if err := w.ascent.Admit(off, n); err != nil {
		return err
	}
	return w.ascent.Keep(w.disk.Fill(off + n))
}

// Finish writes the footer and syncs.
func (w *fixedWriter) Finish(ctx context.Context) error { return w.ascent.Finish(ctx, w.finish) }

func (w *fixedWriter) finish() error {
	size := w.ascent.Size
	if err := w.disk.Fill(size); err != nil {
		return err
	}
	if _, err := w.disk.Sink.WriteAt(encode(w.footer, offFooterChecksum), size); err != nil {
		return err
	}
	return w.disk.Sink.Sync()
}

// Abort leaves the sink as it is; without a footer it holds no image.
func (w *fixedWriter) Abort() error { return w.ascent.Abort() }
