package stage

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Stage is a device with changed blocks in memory over it. Nothing reaches the
// device below. It is for one goroutine.
type Stage struct {
	inner   blockdev.Device
	bits    uint // log2 of the block size
	changed map[uint64][]byte
	undo    []func()
	forget  func(nr uint64)
}

var _ blockdev.Device = (*Stage)(nil)

// New puts a stage over inner, with blocks of 1 << bits bytes. forget is called
// whenever the content of a block becomes another, for caches; it may be nil.
func New(inner blockdev.Device, bits uint, forget func(nr uint64)) *Stage {
	if forget == nil {
		forget = func(uint64) {}
	}
	return &Stage{inner: inner, bits: bits, changed: map[uint64][]byte{}, forget: forget}
}

// OnChange replaces the function that New was given.
func (s *Stage) OnChange(forget func(nr uint64)) { s.forget = forget }

// Below is the device that nothing of it has reached.
func (s *Stage) Below() blockdev.Device { return s.inner }

// Size is that of the device below, in bytes.
func (s *Stage) Size() int64 { return s.inner.Size() }

// ReadAt follows io.ReaderAt.
func (s *Stage) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("stage: negative offset %d", off)
	}
	if off >= s.Size() {
		return 0, io.EOF
	}
	size := int64(1) << s.bits
	if raw := s.changed[uint64(off>>s.bits)]; raw != nil && int64(len(p)) <= size-off&(size-1) {
		return copy(p, raw[off&(size-1):]), nil
	}
	n, err := s.inner.ReadAt(p, off)
	for at := off; at < off+int64(n) && len(s.changed) > 0; {
		in := at & (size - 1)
		end := min(at-in+size, off+int64(n))
		if raw := s.changed[uint64(at>>s.bits)]; raw != nil {
			copy(p[at-off:end-off], raw[in:])
		}
		at = end
	}
	return n, err
}

// Block is a staged block, or nil when it is as the device has it. It must not be
// changed.
func (s *Stage) Block(nr uint64) []byte { return s.changed[nr] }

// Blocks are the numbers of the staged blocks, ascending.
func (s *Stage) Blocks() []uint64 { return slices.Sorted(maps.Keys(s.changed)) }

// Len is the number of staged blocks.
func (s *Stage) Len() int { return len(s.changed) }

// Put stages the new bytes of a block, and owns them from now on.
func (s *Stage) Put(nr uint64, raw []byte) { s.replace(nr, raw) }

// Drop forgets the changes of a block that was freed.
func (s *Stage) Drop(nr uint64) {
	if s.changed[nr] != nil {
		s.replace(nr, nil)
	}
}

func (s *Stage) replace(nr uint64, raw []byte) {
	old := s.changed[nr]
	s.Later(func() { s.set(nr, old) })
	s.set(nr, raw)
}

func (s *Stage) set(nr uint64, raw []byte) {
	if raw == nil {
		delete(s.changed, nr)
	} else {
		s.changed[nr] = raw
	}
	s.forget(nr)
}

// Patch stages bytes at any place; what surrounds them in their blocks is read.
func (s *Stage) Patch(off int64, p []byte) error {
	for len(p) > 0 {
		nr, in := uint64(off>>s.bits), int(off&(1<<s.bits-1))
		n := min(len(p), 1<<s.bits-in)
		if err := s.patchBlock(nr, in, p[:n]); err != nil {
			return err
		}
		off, p = off+int64(n), p[n:]
	}
	return nil
}

func (s *Stage) patchBlock(nr uint64, in int, p []byte) error {
	raw := s.changed[nr]
	if raw == nil {
		raw = make([]byte, 1<<s.bits)
		if len(p) < len(raw) {
			if err := ondisk.Full(s.inner, raw, int64(nr)<<s.bits); err != nil {
				return err
			}
		}
		copy(raw[in:], p)
		s.replace(nr, raw)
		return nil
	}
	old := slices.Clone(raw[in : in+len(p)])
	s.Later(func() { copy(raw[in:], old); s.forget(nr) })
	copy(raw[in:], p)
	s.forget(nr)
	return nil
}
