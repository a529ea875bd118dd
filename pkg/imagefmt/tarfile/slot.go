package tarfile

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Slot is a member whose content comes after members behind it: a manifest of
// checksums.
type Slot struct {
	w      *Writer
	name   string
	off, n int64
}

// Reserve adds a member of size bytes that is filled later. A pipe cannot go
// back and is refused.
func (w *Writer) Reserve(name string, size int64) (*Slot, error) {
	if !w.sink.Seekable() {
		return nil, ondisk.At(layer, fmt.Sprintf("member %q", name), w.pos).Unsupported(
			"a pipe cannot go back to fill it; name a file")
	}
	if err := w.begin(name, size); err != nil {
		return nil, err
	}
	s := &Slot{w: w, name: name, off: w.pos, n: size}
	if err := w.zeros(size); err != nil {
		return nil, err
	}
	w.void = append(w.void, s)
	return s, w.pad(size)
}

// Fill writes the member's content, of exactly the size that was reserved. Fill
// may be called again before the archive is finished; the last content stays.
func (s *Slot) Fill(content []byte) error {
	w := s.w
	switch {
	case w.err != nil:
		return w.err
	case w.done:
		return errFinished
	case int64(len(content)) != s.n:
		return fmt.Errorf("tar: %d bytes for %q, which has %d", len(content), s.name, s.n)
	}
	if err := w.patch(content, s.off); err != nil {
		return err
	}
	for i, v := range w.void {
		if v == s {
			w.void = append(w.void[:i], w.void[i+1:]...)
			break
		}
	}
	return nil
}
