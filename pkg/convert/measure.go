package convert

import (
	"context"
	"math"
	"path/filepath"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Measurement is what an image takes on its host, in bytes, at most: data that
// turns out to be zeros, or that shrinks when it is packed, takes less.
type Measurement struct {
	Required  int64 `json:"required"`        // length of all its files together
	Allocated int64 `json:"allocated"`       // of that, what is not holes
	Full      int64 `json:"fully_allocated"` // length when every block of the disk is written
}

// Measure is what an image of d would take. The format's own writer runs over
// the extents of d into a sink that only counts; no data is read.
func Measure(ctx context.Context, d blockdev.Device, c imagefmt.Creator, opts imagefmt.CreateOptions) (m Measurement, err error) {
	sparse, err := rehearse(ctx, d, c, opts, math.MaxInt64)
	if err != nil {
		return m, err
	}
	full, err := rehearse(ctx, allData(d.Size()), c, opts, math.MaxInt64)
	return Measurement{Required: sparse.length(), Allocated: sparse.wrote(), Full: full.length()}, err
}

// Room is what an image needs of its host at most, in bytes.
type Room struct {
	Allocated int64 // in all files together
	Longest   int64 // length of the longest file
}

// Needs is the room for an image of d, if that is at most limit bytes; else it is
// ondisk.ErrNoSpace as soon as that shows, however much a small file claims to
// hold.
//
// Nobody knows before how much a packed image takes; it needs nothing then.
func Needs(ctx context.Context, d blockdev.Device, c imagefmt.Creator, opts imagefmt.CreateOptions, limit int64) (Room, error) {
	if packs, err := packed(ctx, d.Size(), c, opts); packs || err != nil {
		return Room{}, err
	}
	t, err := rehearse(ctx, d, c, opts, limit)
	if err != nil {
		return Room{}, err
	}
	return Room{Allocated: t.wrote(), Longest: t.longest()}, nil
}

// packed reports whether the images of these options are packed.
func packed(ctx context.Context, size int64, c imagefmt.Creator, opts imagefmt.CreateOptions) (bool, error) {
	opts.Rand = nil
	w, err := c.Create(ctx, &tally{limit: math.MaxInt64}, size, opts)
	if err != nil {
		return false, err
	}
	_, packs := w.(imagefmt.BlockWriter)
	return packs, w.Abort()
}

// allData is a device of that size that knows of no zeros. It is never read.
type allData int64

func (n allData) Size() int64                         { return int64(n) }
func (allData) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }

// rehearse runs the writer over incompressible data in the places of d's.
func rehearse(ctx context.Context, d blockdev.Device, c imagefmt.Creator, opts imagefmt.CreateOptions, limit int64) (*tally, error) {
	opts.Rand = nil // the real image's
	if opts.Compress {
		opts.Level = 1 // noise does not shrink at any level
	}
	t := &tally{name: "measured", limit: limit}
	w, err := c.Create(ctx, t, d.Size(), opts)
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	r := rehearsal{w: w, noise: noise(chunkSize)}
	r.blocks, _ = w.(imagefmt.BlockWriter)
	align := int64(imagefmt.BlockSize(w))
	var done int64
	for e, err := range blockdev.Extents(ctx, d, 0, d.Size()) {
		if err != nil {
			return nil, err
		}
		if e.Kind == blockdev.Zero {
			continue
		}
		end := min(ondisk.AlignUp(e.End(), align), d.Size())
		off := max(ondisk.AlignDown(e.Off, align), done)
		if err := r.write(ctx, off, end); err != nil {
			return nil, err
		}
		done = max(done, end)
	}
	if done < d.Size() {
		if err := w.Zero(done, d.Size()-done); err != nil {
			return nil, err
		}
	}
	return t, w.Finish(ctx)
}

// rehearsal feeds a writer with noise.
type rehearsal struct {
	w      imagefmt.Writer
	blocks imagefmt.BlockWriter // of a packed image
	packed []byte               // memory of the last block
	noise  []byte
}

func (r *rehearsal) write(ctx context.Context, off, end int64) error {
	for off < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(end, ondisk.AlignDown(off, chunkSize)+chunkSize) - off
		if r.blocks != nil {
			n = min(n, int64(r.blocks.BlockSize()))
		}
		if err := r.writeOnce(off, int(n)); err != nil {
			return err
		}
		off += n
	}
	return nil
}

func (r *rehearsal) writeOnce(off int64, n int) (err error) {
	if r.blocks == nil {
		_, err = r.w.WriteAt(r.noise[:n], off)
		return err
	}
	b, err := r.blocks.Encode(r.packed[:0], off, r.noise[:n])
	if err != nil {
		return err
	}
	r.packed = b.Data
	return r.blocks.Append(b)
}

// noise is n bytes that no method packs (Marsaglia, Xorshift RNGs, 2003); none
// is zero.
func noise(n int) []byte {
	p := make([]byte, n)
	x := uint32(2463534242)
	for i := range p {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		p[i] = byte(x) | 1
	}
	return p
}

// tally is a sink that counts and keeps nothing.
type tally struct {
	name     string
	end      int64 // length of the file
	bytes    int64 // written, in pages of the host
	last     int64 // end of the page that was written last
	limit    int64 // of bytes
	siblings []*tally
}

// hostPage is the unit, in bytes, in which hosts give room to files.
const hostPage = 4096

var (
	_ imagefmt.Sink      = (*tally)(nil)
	_ imagefmt.Allocator = (*tally)(nil)
)

func (t *tally) Name() string   { return t.name }
func (t *tally) Sync() error    { return nil }
func (t *tally) Seekable() bool { return true }
func (t *tally) Zeroed() bool   { return true }

func (t *tally) WriteAt(p []byte, off int64) (int, error) {
	return len(p), t.Allocate(off, int64(len(p)))
}

// Allocate counts a range. What is written twice counts twice, which only
// headers are; a page that two writes share counts once when they follow each
// other.
func (t *tally) Allocate(off, n int64) error {
	if n <= 0 {
		return nil
	}
	from, to := ondisk.AlignDown(off, hostPage), ondisk.AlignUp(off+n, hostPage)
	if from == t.last-hostPage {
		from = t.last
	}
	t.bytes += to - from
	t.last = to
	t.end = max(t.end, off+n)
	if t.bytes > t.limit {
		return ondisk.Because(ondisk.ErrNoSpace, "more than %d bytes are needed", t.limit)
	}
	return nil
}

func (t *tally) Truncate(size int64) error {
	t.end = size
	return nil
}

func (t *tally) Sibling(name string) (imagefmt.Sink, error) {
	s := &tally{name: filepath.Base(name), limit: t.limit}
	t.siblings = append(t.siblings, s)
	return s, nil
}

func (t *tally) length() int64 {
	n := t.end
	for _, s := range t.siblings {
		n += s.length()
	}
	return n
}

func (t *tally) wrote() int64 {
	n := t.bytes
	for _, s := range t.siblings {
		n += s.wrote()
	}
	return n
}

func (t *tally) longest() int64 {
	n := t.end
	for _, s := range t.siblings {
		n = max(n, s.longest())
	}
	return n
}
