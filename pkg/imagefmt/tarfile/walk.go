package tarfile

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	layer     = "tar"
	blockSize = 512
	maxName   = 4096 // bytes; PATH_MAX of Linux
)

// Member is a regular file of an archive.
type Member struct {
	Name    string // without leading "./"; a key, never a path of this host
	Size    int64  // bytes
	Off     int64  // where its data begins in the archive
	ModTime time.Time
}

// End is the first byte after the member's data.
func (m Member) End() int64 { return m.Off + m.Size }

// Walk lists the regular members of the archive in dev, in their order, and
// keeps none of them. It stops after the first error: ondisk.ErrFormat where no
// archive begins, ErrCorrupt where one breaks off, ErrUnsupported at a sparse
// member, ErrTooBig behind Limits.Entries members of any kind.
func Walk(ctx context.Context, dev blockdev.Device, limits ondisk.Limits) iter.Seq2[Member, error] {
	limit := limits.OrDefault().Entries
	return func(yield func(Member, error) bool) {
		r := &headerReader{ctx: ctx, dev: dev}
		tr := tar.NewReader(r)
		for n := 0; ; n++ {
			start := r.pos
			h, err := tr.Next()
			if err == io.EOF && n > 0 {
				return
			}
			if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
				yield(Member{}, headerError(err, start, n))
				return
			}
			if n == limit {
				yield(Member{}, ondisk.At(layer, "header", start).TooBig("more than %d members", limit))
				return
			}
			m, err := member(h, r.pos, dev.Size())
			if err != nil {
				yield(Member{}, err)
				return
			}
			if isRegular(h) && !yield(m, nil) {
				return
			}
		}
	}
}

// headerError says what the standard library's errors mean: it knows malformed
// headers and input that ends early; all else comes from the device.
func headerError(err error, at int64, members int) error {
	place := ondisk.At(layer, "header", at)
	known := err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong)
	switch {
	case !known:
		return place.Wrap(err)
	case members == 0:
		return place.Format("no tar archive")
	case errors.Is(err, tar.ErrFieldTooLong):
		return place.TooBig("extended header is too long")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return place.Corrupt("the archive ends early, after %d members", members)
	default:
		return place.Corrupt("not a header, after %d members", members)
	}
}

// member checks what a header says about the data that begins at off.
func member(h *tar.Header, off, size int64) (Member, error) {
	m := Member{Name: cleanName(h.Name), Size: h.Size, Off: off, ModTime: h.ModTime}
	if !isRegular(h) && h.Typeflag != tar.TypeGNUSparse {
		return m, nil
	}
	if len(m.Name) > maxName {
		return m, ondisk.At(layer, "header", off).TooBig("a name of %d bytes", len(m.Name))
	}
	place := ondisk.At(layer, fmt.Sprintf("member %q", m.Name), off)
	switch {
	case h.Typeflag == tar.TypeGNUSparse || isSparse(h):
		return m, place.Unsupported("sparse member: repack the archive without tar's --sparse")
	case m.Name == "":
		return m, place.Corrupt("no name")
	case !ondisk.InRange(m.Off, m.Size, size):
		return m, place.Corrupt("ends early: %d bytes wanted, %d there", m.Size, max(0, size-m.Off))
	}
	return m, nil
}

// isRegular: POSIX has readers take contiguous files for regular ones.
func isRegular(h *tar.Header) bool {
	return h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeCont
}

// isSparse finds the sparse formats that GNU tar hides in pax headers.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// cleanName takes away what tar puts before names when it packs ".".
func cleanName(name string) string {
	for strings.HasPrefix(name, "./") {
		name = strings.TrimLeft(name[2:], "/")
	}
	return name
}

// readAhead is what one read takes: what lies behind the data of a member is
// its padding and then, mostly, several headers of small members.
const readAhead = 4096

// headerReader reads a device for package tar, which skips data by seeking.
type headerReader struct {
	ctx context.Context // of the one walk that this reader lives for
	dev blockdev.Device
	pos int64
	off int64 // of held in the device
	buf [readAhead]byte
	n   int // bytes of buf that are filled
}

func (r *headerReader) Read(p []byte) (int, error) {
	if r.pos >= r.dev.Size() {
		return 0, io.EOF
	}
	if r.pos < r.off || r.pos >= r.off+int64(r.n) {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.pos-r.off:r.n])
	r.pos += int64(n)
	return n, nil
}

func (r *headerReader) fill() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.off, r.n = r.pos, 0
	want := min(readAhead, r.dev.Size()-r.pos)
	n, err := r.dev.ReadAt(r.buf[:want], r.pos)
	switch {
	case int64(n) == want:
		r.n = n
		return nil
	case err == nil:
		return io.ErrUnexpectedEOF
	}
	return err
}

// Seek knows what package tar uses: moves from where the reader stands.
func (r *headerReader) Seek(offset int64, whence int) (int64, error) {
	pos, ok := ondisk.AddOK(r.pos, offset)
	if whence != io.SeekCurrent || !ok {
		return 0, tar.ErrHeader
	}
	r.pos = pos
	return pos, nil
}
