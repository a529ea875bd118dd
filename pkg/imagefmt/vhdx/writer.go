package vhdx

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// writer writes a new image: data goes straight to its block, the BAT follows in
// slices.
type writer struct {
	ascent imagefmt.Ascent
	settings
	geometry
	regions
	ids
	sink   imagefmt.Sink
	zeroed bool // what is not written reads as zeros

	free int64 // where the next block goes; of a fixed image, the first one
	last int64 // blocks up to this one have their place, or none; counted from 1
	host int64 // where block last lies; 0 when nowhere
	fill int64 // guest bytes of block last that are written, up to here

	slice []byte // of the BAT, being filled
	at    int64  // index of its first entry
	used  bool
}

// WriteAt takes data of any size and alignment, in ascending order. Blocks and
// pages of zeros take no room.
func (w *writer) WriteAt(p []byte, off int64) (int, error) {
	if err := w.ascent.Admit(off, int64(len(p))); err != nil {
		return 0, err
	}
	if err := w.ascent.Keep(w.write(p, off)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Zero takes no room.
func (w *writer) Zero(off, n int64) error { return w.ascent.Admit(off, n) }

// write writes the runs of p that are not zeros.
func (w *writer) write(p []byte, off int64) error {
	for len(p) > 0 {
		from, to := ondisk.DataRun(p, off)
		if err := w.data(p[from:to], off+int64(from)); err != nil {
			return err
		}
		p, off = p[to:], off+int64(to)
	}
	return nil
}

// data writes p, block by block as far as blocks lie apart in the file. New
// blocks follow each other, so that as a rule one write does.
func (w *writer) data(p []byte, off int64) error {
	for len(p) > 0 {
		host, err := w.blockAt(off)
		if err != nil {
			return err
		}
		n := min(int64(len(p)), w.block-off%w.block)
		for n < int64(len(p)) {
			w.fill = off + n
			next, err := w.blockAt(off + n)
			if err != nil {
				return err
			}
			if next != host+n {
				break
			}
			n = min(int64(len(p)), n+w.block)
		}
		if _, err := w.sink.WriteAt(p[:n], host); err != nil {
			return err
		}
		w.fill = off + n
		p, off = p[n:], off+n
	}
	return nil
}

// blockAt is where guest offset off lies in the file; its block gets a place if
// it has none. What lies before it in the block is settled as zeros.
func (w *writer) blockAt(off int64) (int64, error) {
	block := off / w.block
	if block+1 != w.last {
		if err := w.newBlock(block); err != nil {
			return 0, err
		}
	}
	host := w.host + off%w.block
	if !w.zeroed && w.fill < off {
		if err := imagefmt.WriteZeros(w.sink, w.host+w.fill-block*w.block, off-w.fill); err != nil {
			return 0, err
		}
	}
	w.fill = max(w.fill, off)
	return host, nil
}

// newBlock gives a block its place, behind all others.
func (w *writer) newBlock(block int64) error {
	if err := w.endBlock(block); err != nil {
		return err
	}
	if w.fixed {
		w.host = w.free + block*w.block
	} else {
		w.host = w.free
		w.free += w.block
		if err := w.set(w.payloadEntry(block), uint64(w.host)|fullyPresent); err != nil {
			return err
		}
	}
	w.last, w.fill = block+1, block*w.block
	return nil
}

// endBlock settles the rest of the current block as zeros, and in a fixed image
// all blocks before the given one.
func (w *writer) endBlock(next int64) error {
	if w.zeroed {
		return nil
	}
	if w.fixed {
		return imagefmt.WriteZeros(w.sink, w.free+w.fill, next*w.block-w.fill)
	}
	if w.last == 0 {
		return nil
	}
	return imagefmt.WriteZeros(w.sink, w.host+w.fill-(w.last-1)*w.block, w.last*w.block-w.fill)
}

// set puts a word into the BAT; indexes ascend.
func (w *writer) set(i int64, word uint64) error {
	const perSlice = sliceSize / 8
	if first := i - i%perSlice; w.slice == nil || first != w.at {
		if err := w.flush(); err != nil {
			return err
		}
		w.at = first
	}
	le.PutUint64(w.slice[(i-w.at)*8:], word)
	w.used = true
	return nil
}

// flush writes the slice of the BAT that is being filled, and begins another.
func (w *writer) flush() error {
	if w.slice == nil {
		w.slice = make([]byte, sliceSize)
	}
	if !w.used {
		return nil
	}
	_, err := w.sink.WriteAt(w.slice, w.bat.off+w.at*8)
	clear(w.slice)
	w.used = false
	return err
}

// Finish writes the tables, syncs, and then writes what makes the file an image
// and syncs again.
func (w *writer) Finish(ctx context.Context) error {
	return w.ascent.Finish(ctx, func() error {
		for _, step := range []func() error{w.endPayload, w.tables, w.sink.Sync, w.headers, w.sink.Sync} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
}

// endPayload settles the last blocks, the size of the file and the BAT.
func (w *writer) endPayload() error {
	if err := w.endBlock(w.blocks()); err != nil {
		return err
	}
	end := w.free
	if w.fixed {
		end += w.blocks() * w.block
		for block := range w.blocks() {
			if err := w.set(w.payloadEntry(block), uint64(w.free+block*w.block)|fullyPresent); err != nil {
				return err
			}
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.sink.Truncate(end)
}

// piece is a part of the file and its content.
type piece struct {
	off  int64
	data []byte
}

func (w *writer) put(pieces ...piece) error {
	for _, p := range pieces {
		if _, err := w.sink.WriteAt(p.data, p.off); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) tables() error {
	table := w.regionTable()
	return w.put(piece{w.regions.metadata.off, w.fixedMetadata()}, piece{regionOffset1, table}, piece{regionOffset2, table})
}

func (w *writer) headers() error {
	return w.put(piece{headerOffset1, w.header(1)}, piece{headerOffset2, w.header(2)}, piece{0, identifier()})
}

// Abort leaves the sink as it is; without headers it holds no image.
func (w *writer) Abort() error { return w.ascent.Abort() }
