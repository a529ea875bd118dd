package ext

import (
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// stage is a device with changed blocks in memory over it. A volume that reads
// through it sees the state with the changes so far; each change can be undone
// until the next mark, which is what makes an operation whole or nothing.
type stage struct {
	inner   blockdev.Device
	bits    uint // log2 of the block size
	changed map[uint64][]byte
	undo    []func()
	forget  func(nr uint64) // called when the meaning of a block changes
}

var _ blockdev.Device = (*stage)(nil)

func newStage(inner blockdev.Device, bits uint) *stage {
	return &stage{inner: inner, bits: bits, changed: map[uint64][]byte{}, forget: func(uint64) {}}
}

func (s *stage) Size() int64 { return s.inner.Size() }

// ReadAt follows io.ReaderAt.
func (s *stage) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("ext: negative offset %d", off)
	}
	if off >= s.Size() {
		return 0, io.EOF
	}
	size := int64(1) << s.bits
	if raw := s.changed[uint64(off>>s.bits)]; raw != nil && int64(len(p)) <= size-off&(size-1) {
		return copy(p, raw[off&(size-1):]), nil
	}
	n, err := s.inner.ReadAt(p, off)
	if n == 0 {
		return 0, err
	}
	for nr := off >> s.bits; nr <= (off+int64(n)-1)>>s.bits; nr++ {
		raw := s.changed[uint64(nr)]
		if raw == nil {
			continue
		}
		if start := nr << s.bits; start >= off {
			copy(p[start-off:n], raw)
		} else {
			copy(p[:min(int64(n), start+size-off)], raw[off-start:])
		}
	}
	return n, err
}

// put stages the new bytes of a block, and owns them from now on.
func (s *stage) put(nr uint64, raw []byte) { s.replace(nr, raw) }

// drop forgets the changes of a block that was freed.
func (s *stage) drop(nr uint64) {
	if s.changed[nr] != nil {
		s.replace(nr, nil)
	}
}

func (s *stage) replace(nr uint64, raw []byte) {
	old := s.changed[nr]
	s.later(func() { s.set(nr, old) })
	s.set(nr, raw)
}

func (s *stage) set(nr uint64, raw []byte) {
	if raw == nil {
		delete(s.changed, nr)
	} else {
		s.changed[nr] = raw
	}
	s.forget(nr)
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
