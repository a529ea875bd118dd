package convert

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	// chunkSize is how much one read takes: large enough for a disk to stream,
	// small enough that a ring of them is no memory.
	chunkSize = 2 << 20
	// ring is how many chunks are in the air for each core.
	ring = 3
)

// chunk is a piece of the source on its way to the writer. Its memory goes back
// to the pool when it was written.
type chunk struct {
	off    int64
	n      int64
	from   *blockdev.HostPos // where the bytes lie on the host, when they are shared and not read
	zeros  int64             // that come before off; not read
	buf    []byte            // chunkSize long
	packed []byte            // as long, for encoded blocks
	blocks []imagefmt.Block  // of a packed copy
	err    error
	done   chan struct{} // receives one value when filled
}

// Copy writes what src holds to w, which it leaves unfinished. Zero extents are
// not read; the writer is told of them. Reading, and encoding when pack is set, run on all
// cores; the writer gets everything in guest order from one goroutine, so the
// output does not depend on their number. Memory is a few chunks for each core,
// however large the disk.
func Copy(ctx context.Context, w imagefmt.Writer, src blockdev.Device, pack bool, watch ondisk.Observer) error {
	c := copier{src: src, w: w, pack: pack, watch: watch}
	return c.copy(ctx)
}

// CopyDisk is Copy for a disk with its overlay. Packed blocks of the source image
// that the overlay leaves alone go to the writer as they are, if it can store
// them: what they hold is then not looked at, and damage in one stays what it is.
// Plain blocks of the source's file are shared with the output's where the host
// can do that.
func CopyDisk(ctx context.Context, w imagefmt.Writer, d Disk, pack bool, watch ondisk.Observer) (Saved, error) {
	c := copier{src: d.Overlay, w: w, pack: pack, watch: watch}
	if pack {
		c.mover = newMover(d, w)
	}
	err := c.copy(ctx)
	return Saved{Moved: c.mover.bytes(), Shared: c.shared}, err
}

// Saved is how many bytes of a disk cost less than a copy.
type Saved struct {
	Moved  int64 // were taken over as they were packed
	Shared int64 // lie in blocks that the output shares with the source
}

type copier struct {
	src     blockdev.Device
	w       imagefmt.Writer
	pack    bool
	packer  imagefmt.BlockWriter // nil for a plain copy
	mover   *mover               // nil when every block is read
	align   int64                // blocks of the writer, which are never split
	watch   ondisk.Observer
	workers int
	data    int64 // bytes that are not zeros, for the display
	end     int64 // of the last chunk, when all were planned
	shared  int64 // bytes that were not copied
}

func (c *copier) copy(ctx context.Context) (err error) {
	c.align, c.workers = int64(imagefmt.BlockSize(c.w)), max(2, runtime.GOMAXPROCS(0))
	if c.pack {
		blocks, ok := c.w.(imagefmt.BlockWriter)
		if !ok {
			return ondisk.Because(ondisk.ErrUnsupported, "this format has no compressed blocks")
		}
		c.packer = blocks
	}
	if c.watch != nil {
		if c.data, err = dataBytes(ctx, c.src); err != nil {
			return err
		}
	}
	return c.run(ctx)
}

// dataBytes is how much of a device is not known to be zeros.
func dataBytes(ctx context.Context, d blockdev.Device) (n int64, err error) {
	for e, err := range blockdev.Extents(ctx, d, 0, d.Size()) {
		if err != nil {
			return 0, err
		}
		if e.Kind == blockdev.Data {
			n += e.Len
		}
	}
	return n, nil
}

func (c *copier) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	depth := c.workers * ring
	jobs := make(chan *chunk)
	ordered := make(chan *chunk, depth)
	free := make(chan *chunk, depth)
	for range depth {
		free <- &chunk{done: make(chan struct{}, 1)}
	}
	g.Go(func() error {
		defer close(jobs)
		defer close(ordered)
		return c.plan(ctx, free, jobs, ordered)
	})
	for range c.workers {
		g.Go(func() error {
			for ch := range jobs {
				ch.err = c.fill(ch)
				ch.done <- struct{}{}
			}
			return nil
		})
	}
	g.Go(func() error { return c.drain(ctx, ordered, free) })
	if err := g.Wait(); err != nil || c.end == c.src.Size() {
		return err
	}
	return c.w.Zero(c.end, c.src.Size()-c.end)
}

// plan cuts the data extents into chunks. A chunk's memory is taken here, in
// guest order, so that the one the writer waits for always has some.
func (c *copier) plan(ctx context.Context, free <-chan *chunk, jobs, ordered chan<- *chunk) error {
	size := c.src.Size()
	var done int64
	for e, err := range blockdev.Extents(ctx, c.src, 0, size) {
		if err != nil {
			return err
		}
		if e.Kind == blockdev.Zero {
			continue
		}
		end := min(ondisk.AlignUp(e.End(), c.align), size)
		shared := c.shareable(e)
		for off := max(ondisk.AlignDown(e.Off, c.align), done); off < end; off = done {
			zeros := off - done
			ch, err := take(ctx, free)
			if err != nil {
				return err
			}
			done, ch.from = shared.next(off, end)
			ch.off, ch.n, ch.zeros = off, done-off, zeros
			if err := give(ctx, ordered, ch); err != nil {
				return err
			}
			if ch.from != nil {
				continue // nothing to read
			}
			if err := give(ctx, jobs, ch); err != nil {
				return err
			}
		}
	}
	c.end = done
	return nil
}

// fill reads a chunk's bytes, and packs them where that is wanted.
func (c *copier) fill(ch *chunk) error {
	if ch.buf == nil {
		ch.buf = make([]byte, chunkSize)
	}
	if c.packer == nil {
		return c.read(ch, 0, int(ch.n))
	}
	if ch.packed == nil {
		ch.packed = make([]byte, chunkSize+chunkSize/c.packer.BlockSize()*slack)
	}
	ch.blocks = ch.blocks[:0]
	if c.mover == nil {
		return c.encode(ch, 0, int(ch.n))
	}
	return c.move(ch)
}

// move takes over the packed blocks of a chunk, and encodes what lies between
// them.
func (c *copier) move(ch *chunk) error {
	bs := c.packer.BlockSize()
	rest := 0 // begin of what has to be encoded
	for at := 0; at < int(ch.n); at += bs {
		end := min(at+bs, int(ch.n))
		b, ok, err := c.mover.move(ch.off+int64(at), end-at, ch.buf[at:at:end], c.room(ch, at))
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := c.encode(ch, rest, at); err != nil {
			return err
		}
		ch.blocks = append(ch.blocks, b)
		rest = end
	}
	return c.encode(ch, rest, int(ch.n))
}

// read fills the bytes of a chunk from from to to.
func (c *copier) read(ch *chunk, from, to int) error {
	off := ch.off + int64(from)
	n, err := c.src.ReadAt(ch.buf[from:to], off)
	if n == to-from {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at %#x: %w", to-from, off, err)
}

// encode reads the blocks of a chunk from from to to, and packs them.
func (c *copier) encode(ch *chunk, from, to int) error {
	if from == to {
		return nil
	}
	if err := c.read(ch, from, to); err != nil {
		return err
	}
	bs := c.packer.BlockSize()
	for at := from; at < to; at += bs {
		end := min(at+bs, to)
		b, err := c.packer.Encode(c.room(ch, at), ch.off+int64(at), ch.buf[at:end])
		if err != nil {
			return err
		}
		ch.blocks = append(ch.blocks, b)
	}
	return nil
}

// slack is what a block that does not shrink takes besides its bytes, headers and
// checksums included.
const slack = 1 << 10

// room is the memory for the packed block that begins at byte at of a chunk.
func (c *copier) room(ch *chunk, at int) []byte {
	bs := c.packer.BlockSize()
	from := at / bs * (bs + slack)
	return ch.packed[from : from : from+bs+slack]
}

// drain hands the chunks to the writer in guest order.
func (c *copier) drain(ctx context.Context, ordered <-chan *chunk, free chan<- *chunk) error {
	var done int64
	for {
		ch, err := take(ctx, ordered)
		if ch == nil {
			return err
		}
		if ch.from != nil {
			err = c.share(ch)
		} else if _, err = take(ctx, ch.done); err == nil {
			err = c.write(ch)
		}
		if err != nil {
			return err
		}
		done += ch.n
		c.watch.Tell(ondisk.Event{Phase: "copying", Done: done, Total: max(c.data, done)})
		free <- ch
	}
}

func (c *copier) write(ch *chunk) error {
	if ch.err != nil {
		return ch.err
	}
	if ch.zeros > 0 {
		if err := c.w.Zero(ch.off-ch.zeros, ch.zeros); err != nil {
			return err
		}
	}
	if c.packer == nil {
		_, err := c.w.WriteAt(ch.buf[:ch.n], ch.off)
		return err
	}
	for _, b := range ch.blocks {
		if err := c.packer.Append(b); err != nil {
			return err
		}
	}
	return nil
}

// take receives from ch, or gives up with ctx. A closed channel gives zero and
// no error.
func take[T any](ctx context.Context, ch <-chan T) (T, error) {
	select {
	case v := <-ch:
		return v, nil
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

// give sends v, or gives up with ctx.
func give[T any](ctx context.Context, ch chan<- T, v T) error {
	select {
	case ch <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
