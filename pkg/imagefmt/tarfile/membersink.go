package tarfile

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// MemberSink takes the content of one member, from its start to its end. For an
// image format it is a pipe: WriteAt ascends without gaps.
type MemberSink struct {
	w      *Writer
	name   string
	size   int64 // or unknownSize
	header int64 // where the header lies
	base   int64 // where the data begins
	n      int64 // bytes written
	closed bool
}

var _ imagefmt.Sink = (*MemberSink)(nil)

func (m *MemberSink) Name() string   { return m.w.sink.Name() + ":" + m.name }
func (m *MemberSink) Seekable() bool { return false }
func (m *MemberSink) Zeroed() bool   { return false }

// Size is how many bytes were written.
func (m *MemberSink) Size() int64 { return m.n }

// Sync does nothing: the archive is synced when it is finished.
func (m *MemberSink) Sync() error { return nil }

// Truncate is refused, as by a pipe.
func (m *MemberSink) Truncate(int64) error {
	return ondisk.Because(ondisk.ErrUnsupported, "%s is written from start to end", m.Name())
}

// Sibling is refused: members are made by the Writer, one at a time.
func (m *MemberSink) Sibling(string) (imagefmt.Sink, error) {
	return nil, ondisk.Because(ondisk.ErrUnsupported, "%s has no siblings", m.Name())
}

// WriteAt appends p; off is what was written before.
func (m *MemberSink) WriteAt(p []byte, off int64) (int, error) {
	if err := m.admit(off, int64(len(p))); err != nil {
		return 0, err
	}
	if err := m.w.put(p); err != nil {
		return 0, err
	}
	m.n += int64(len(p))
	return len(p), nil
}

// Zero appends n zeros, which become a hole of the archive where it can have
// holes.
func (m *MemberSink) Zero(off, n int64) error {
	if err := m.admit(off, n); err != nil {
		return err
	}
	if err := m.w.zeros(n); err != nil {
		return err
	}
	m.n += n
	return nil
}

func (m *MemberSink) admit(off, n int64) error {
	end, ok := ondisk.AddOK(off, n)
	switch {
	case m.w.err != nil:
		return m.w.err
	case m.closed:
		return fmt.Errorf("tar: write to %q after it was closed", m.name)
	case off != m.n:
		return fmt.Errorf("tar: write at %d of %q, which stands at %d", off, m.name, m.n)
	case !ok || m.size != unknownSize && end > m.size:
		return fmt.Errorf("tar: %d bytes and %d more for %q, which has %d", m.n, n, m.name, m.size)
	}
	return nil
}

// Close ends the member, and settles its size if that was not known.
func (m *MemberSink) Close() error {
	w := m.w
	switch {
	case m.closed || w.err != nil:
		return w.err
	case m.size != unknownSize && m.n != m.size:
		return w.keep(fmt.Errorf("tar: %d bytes written of %q, which has %d", m.n, m.name, m.size))
	}
	m.closed, w.open = true, nil
	if err := w.pad(m.n); err != nil {
		return err
	}
	if m.size == m.n {
		return nil
	}
	h, err := w.header(m.name, m.n)
	if err != nil {
		return w.keep(err)
	}
	return w.patch(h, m.header)
}
