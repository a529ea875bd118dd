package tarfile

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	maxWrittenName = 100 // bytes; what one ustar header holds
	unknownSize    = -1
	holdSize       = 64 << 10 // small pieces are gathered up to this
	zeroStep       = 1 << 20  // zeros written at once where there are no holes
)

// Options of a Writer. The zero value is good.
type Options struct {
	Now func() time.Time // every member's time, asked once; nil is the epoch
}

// Writer writes an archive, one member after the other, from one goroutine. The
// same members give the same bytes: mode 0644, owner 0. The first failure ends
// it: all later calls return that error.
type Writer struct {
	sink imagefmt.Sink
	time time.Time
	pos  int64 // end of what was given to put
	held []byte
	open *MemberSink // the member being written, or nil
	void []*Slot     // that wait to be filled
	done bool
	err  error
}

// NewWriter starts an archive on any sink.
func NewWriter(sink imagefmt.Sink, opts Options) *Writer {
	w := &Writer{sink: sink, time: time.Unix(0, 0)}
	if opts.Now != nil {
		w.time = opts.Now().Truncate(time.Second)
	}
	return w
}

// WriteFile adds a member that is in memory.
func (w *Writer) WriteFile(name string, content []byte) error {
	if err := w.begin(name, int64(len(content))); err != nil {
		return err
	}
	if err := w.put(content); err != nil {
		return err
	}
	return w.pad(int64(len(content)))
}

// NewMember starts a member of size bytes, which the caller writes to the sink
// that it returns and then closes. On a sink that can seek size may be negative:
// then it is what was written when the member is closed.
func (w *Writer) NewMember(name string, size int64) (*MemberSink, error) {
	if size < 0 {
		size = unknownSize
	}
	if size == unknownSize && !w.sink.Seekable() {
		return nil, ondisk.At(layer, fmt.Sprintf("member %q", name), w.pos).Unsupported(
			"its size is not known before it is written, which a pipe needs; name a file")
	}
	header := w.pos
	if err := w.begin(name, max(0, size)); err != nil {
		return nil, err
	}
	m := &MemberSink{w: w, name: name, size: size, header: header, base: w.pos}
	w.open = m
	return m, nil
}

var (
	errFinished = errors.New("tar: the archive is finished")
	errAborted  = errors.New("tar: the archive was given up")
)

// Finish ends the archive and syncs it. Members that are open and slots that
// are empty are mistakes.
func (w *Writer) Finish(ctx context.Context) error {
	switch {
	case w.err != nil || w.done:
		return w.err
	case w.open != nil:
		return fmt.Errorf("tar: member %q is still open", w.open.name)
	case len(w.void) > 0:
		return fmt.Errorf("tar: slot %q was never filled", w.void[0].name)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if err := w.put(make([]byte, 2*blockSize)); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if w.keep(w.sink.Sync()) == nil {
		w.done = true
	}
	return w.err
}

// Abort gives the archive up. The sink's owner removes what was written.
func (w *Writer) Abort() error {
	if !w.done && w.err == nil {
		w.err = errAborted
	}
	return nil
}

func (w *Writer) keep(err error) error {
	if w.err == nil {
		w.err = err
	}
	return w.err
}

// begin writes the header of a member.
func (w *Writer) begin(name string, size int64) error {
	switch {
	case w.err != nil:
		return w.err
	case w.done:
		return errFinished
	case w.open != nil:
		return fmt.Errorf("tar: member %q begins while %q is open", name, w.open.name)
	}
	h, err := w.header(name, size)
	if err != nil {
		return err
	}
	return w.put(h)
}

// header is one block. Sizes from 8 GiB and names outside ASCII need GNU's kind.
func (w *Writer) header(name string, size int64) ([]byte, error) {
	if name == "" || len(name) > maxWrittenName {
		return nil, ondisk.At(layer, "header", w.pos).Unsupported("member name %q has %d bytes; 1 to %d are possible", name, len(name), maxWrittenName)
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: w.time}
	var err error
	for _, h.Format = range []tar.Format{tar.FormatUSTAR, tar.FormatGNU} {
		var buf bytes.Buffer
		if err = tar.NewWriter(&buf).WriteHeader(h); err == nil && buf.Len() == blockSize {
			return buf.Bytes(), nil
		}
	}
	return nil, ondisk.At(layer, "header", w.pos).Unsupported("member %q of %d bytes: %v", name, size, err)
}

// put appends p. Small pieces wait for company: headers, checksums and padding
// of neighbours leave in one write.
func (w *Writer) put(p []byte) error {
	if w.err != nil {
		return w.err
	}
	if len(w.held)+len(p) <= holdSize {
		w.held = append(w.held, p...)
		w.pos += int64(len(p))
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	if _, err := w.sink.WriteAt(p, w.pos); err != nil {
		return w.keep(err)
	}
	w.pos += int64(len(p))
	return nil
}

func (w *Writer) flush() error {
	if w.err != nil || len(w.held) == 0 {
		return w.err
	}
	_, err := w.sink.WriteAt(w.held, w.pos-int64(len(w.held)))
	w.held = w.held[:0]
	return w.keep(err)
}

// patch changes bytes that were put before.
func (w *Writer) patch(p []byte, off int64) error {
	if err := w.flush(); err != nil {
		return err
	}
	_, err := w.sink.WriteAt(p, off)
	return w.keep(err)
}

// zeros appends n zeros, as a hole where the sink has them.
func (w *Writer) zeros(n int64) error {
	if n > blockSize && w.sink.Seekable() && w.sink.Zeroed() {
		err := w.flush()
		w.pos += n
		return err
	}
	zeros := make([]byte, min(n, zeroStep))
	for n > 0 && w.err == nil {
		step := min(n, zeroStep)
		_ = w.put(zeros[:step])
		n -= step
	}
	return w.err
}

// pad fills the last block of a member of n bytes.
func (w *Writer) pad(n int64) error {
	return w.zeros(ondisk.AlignUp(n, blockSize) - n)
}
