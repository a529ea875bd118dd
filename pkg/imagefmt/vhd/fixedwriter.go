package vhd

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// fixedWriter writes a raw disk and the footer behind it.
type fixedWriter struct {
	sequence
	sink   imagefmt.Sink
	footer *diskFooter
	sparse bool // what is not written reads as zeros
}

var _ imagefmt.Writer = (*fixedWriter)(nil)

func newFixedWriter(sink imagefmt.Sink, s settings, f *diskFooter) (*fixedWriter, error) {
	w := &fixedWriter{
		sequence: sequence{size: s.size},
		sink:     sink,
		footer:   f,
		sparse:   sink.Seekable() && sink.Zeroed(),
	}
	if !sink.Seekable() {
		return w, nil
	}
	if err := sink.Truncate(s.size + footerSize); err != nil {
		return nil, err
	}
	if !w.sparse || s.preallocation == "off" {
		return w, nil // where there are no holes, all is written anyhow
	}
	return w, imagefmt.Allocate(sink, 0, s.size+footerSize, s.preallocation == "full")
}

func (w *fixedWriter) WriteAt(p []byte, off int64) (int, error) {
	if err := w.admit(off, int64(len(p))); err != nil {
		return 0, err
	}
	if w.err = w.fill(off); w.err == nil {
		w.err = w.write(p, off)
	}
	if w.err != nil {
		return 0, w.err
	}
	w.next = off + int64(len(p))
	return len(p), nil
}

func (w *fixedWriter) Zero(off, n int64) error {
	if err := w.admit(off, n); err != nil {
		return err
	}
	w.err = w.fill(off + n)
	return w.err
}

// fill makes all bytes from next to end zeros.
func (w *fixedWriter) fill(end int64) error {
	if !w.sparse {
		if err := zeroFill(w.sink, w.next, end); err != nil {
			return err
		}
	}
	w.next = end
	return nil
}

// write writes p but for the holes in it.
func (w *fixedWriter) write(p []byte, off int64) error {
	for len(p) > 0 {
		from, to := 0, len(p)
		if w.sparse {
			from, to = dataRun(p, off)
		}
		if to > from {
			if _, err := w.sink.WriteAt(p[from:to], off+int64(from)); err != nil {
				return err
			}
		}
		p, off = p[to:], off+int64(to)
	}
	return nil
}

// Finish writes the footer and syncs.
func (w *fixedWriter) Finish(ctx context.Context) error {
	if w.ended || w.err != nil {
		return w.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.ended = true
	w.err = w.finish()
	return w.err
}

func (w *fixedWriter) finish() error {
	if err := w.fill(w.size); err != nil {
		return err
	}
	if _, err := w.sink.WriteAt(encode(w.footer, offFooterChecksum), w.size); err != nil {
		return err
	}
	return w.sink.Sync()
}
