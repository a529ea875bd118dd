package fat

import (
	"fmt"
	"io"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// stage is a device with changed sectors in memory over it. A volume that reads
// through it sees the state with the changes so far; each change can be undone
// until the next mark, which is what makes an operation whole or nothing.
type stage struct {
	inner   blockdev.Device
	bits    uint // log2 of the sector size
	changed map[uint64][]byte
	undo    []func()
	forget  func(nr uint64) // called when a sector changes
}

var _ blockdev.Device = (*stage)(nil)

func newStage(inner blockdev.Device, bits uint) *stage {
	return &stage{inner: inner, bits: bits, changed: map[uint64][]byte{}, forget: func(uint64) {}}
}

func (s *stage) Size() int64 { return s.inner.Size() }

// ReadAt follows io.ReaderAt.
func (s *stage) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("fat: negative offset %d", off)
	}
	if off >= s.Size() {
		return 0, io.EOF
	}
	n, err := s.inner.ReadAt(p, off)
	for at := off; at < off+int64(n) && len(s.changed) > 0; {
		in := at & (1<<s.bits - 1)
		end := min(at-in+1<<s.bits, off+int64(n))
		if raw := s.changed[uint64(at>>s.bits)]; raw != nil {
			copy(p[at-off:end-off], raw[in:])
		}
		at = end
	}
	return n, err
}

// patch stages bytes at any place.
func (s *stage) patch(off int64, p []byte) error {
	for len(p) > 0 {
		nr, in := uint64(off>>s.bits), off&(1<<s.bits-1)
		n := min(len(p), int(1<<s.bits-in))
		if err := s.patchSector(nr, int(in), p[:n]); err != nil {
			return err
		}
		off, p = off+int64(n), p[n:]
	}
	return nil
}

func (s *stage) patchSector(nr uint64, in int, p []byte) error {
	size := 1 << s.bits
	raw := s.changed[nr]
	if raw == nil {
		raw = make([]byte, size)
		if len(p) < size {
			if err := ondisk.Full(s.inner, raw, int64(nr)<<s.bits); err != nil {
				return err
			}
		}
		s.changed[nr] = raw
		s.later(func() { delete(s.changed, nr); s.forget(nr) })
	} else {
		old := slices.Clone(raw[in : in+len(p)])
		s.later(func() { copy(raw[in:], old); s.forget(nr) })
	}
	copy(raw[in:], p)
	s.forget(nr)
	return nil
}

// drop forgets the changes of n bytes, whole sectors that were freed.
func (s *stage) drop(off, n int64) {
	for nr := uint64(off >> s.bits); nr < uint64((off+n)>>s.bits); nr++ {
		if raw := s.changed[nr]; raw != nil {
			delete(s.changed, nr)
			s.later(func() { s.changed[nr] = raw; s.forget(nr) })
			s.forget(nr)
		}
	}
}

// later registers what takes back a change that was just made.
func (s *stage) later(f func()) { s.undo = append(s.undo, f) }

// mark makes all changes so far final.
func (s *stage) mark() { s.undo = s.undo[:0] }

// revert takes back all changes since the last mark.
func (s *stage) revert() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		s.undo[i]()
	}
	s.mark()
}
