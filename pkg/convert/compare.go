package convert

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Same is what Compare returns for disks without a difference.
const Same int64 = -1

// Compare finds the first byte in which two disks differ, or [Same]. A disk that
// is shorter goes on with zeros. What is known to be zeros on both is not read;
// the rest is read and compared on all cores.
func Compare(ctx context.Context, a, b blockdev.Device, watch ondisk.Observer) (int64, error) {
	c := &comparison{a: a, b: b, first: Same, watch: watch}
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan span)
	g.Go(func() error {
		defer close(jobs)
		return c.plan(ctx, jobs)
	})
	for range max(2, runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			p, q := make([]byte, chunkSize), make([]byte, chunkSize)
			for s := range jobs {
				if err := c.compare(s, p[:s.n], q[:s.n]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return c.first, err
}

// span is a piece of both disks.
type span struct {
	off int64
	n   int
}

type comparison struct {
	a, b  blockdev.Device
	watch ondisk.Observer

	mu    sync.Mutex
	first int64 // difference so far
	done  int64
}

// plan cuts what has to be read into pieces, in order, until a difference was
// found before the next one.
func (c *comparison) plan(ctx context.Context, jobs chan<- span) error {
	size := max(c.a.Size(), c.b.Size())
	for off := int64(0); off < size && !c.found(off); {
		ka, na, err := kindAt(c.a, off, size)
		if err != nil {
			return err
		}
		kb, nb, err := kindAt(c.b, off, size)
		if err != nil {
			return err
		}
		n := min(na, nb)
		if ka == blockdev.Zero && kb == blockdev.Zero {
			off += n
			continue
		}
		n = min(n, chunkSize-off%chunkSize)
		if err := give(ctx, jobs, span{off, int(n)}); err != nil {
			return err
		}
		off += n
	}
	return ctx.Err()
}

// kindAt is what a disk holds from off, up to at most size bytes; zeros follow
// its end.
func kindAt(d blockdev.Device, off, size int64) (blockdev.Kind, int64, error) {
	if off >= d.Size() {
		return blockdev.Zero, size - off, nil
	}
	e, err := blockdev.NextExtent(d, off, d.Size()-off)
	return e.Kind, e.Len, err
}

// found reports whether a difference before off is known.
func (c *comparison) found(off int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first != Same && c.first < off
}

func (c *comparison) compare(s span, p, q []byte) error {
	if err := readPadded(c.a, p, s.off); err != nil {
		return err
	}
	if err := readPadded(c.b, q, s.off); err != nil {
		return err
	}
	at := Same
	if !bytes.Equal(p, q) {
		for i := range p {
			if p[i] != q[i] {
				at = s.off + int64(i)
				break
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at != Same && (c.first == Same || at < c.first) {
		c.first = at
	}
	c.done += int64(s.n)
	c.watch.Tell(ondisk.Event{Phase: "comparing", Done: c.done})
	return nil
}

// readPadded fills p with the bytes at off, and with zeros beyond the end.
func readPadded(d blockdev.Device, p []byte, off int64) error {
	have := max(0, min(int64(len(p)), d.Size()-off))
	clear(p[have:])
	if have == 0 {
		return nil
	}
	n, err := d.ReadAt(p[:have], off)
	if int64(n) == have {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at %#x: %w", have, off, err)
}
