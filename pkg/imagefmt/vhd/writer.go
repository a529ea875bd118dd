package vhd

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// dynamicWriter writes blocks in guest order, and what finds them at the end.
type dynamicWriter struct {
	ascent   imagefmt.Ascent
	settings settings
	sink     imagefmt.Sink
	footer   *diskFooter
	table    []byte // the block allocation table
	end      int64  // of the file so far

	block  int64  // being filled; -1 for none
	host   int64  // where its data begins
	filled int64  // bytes of its data that are settled, where there are no holes
	bitmap []byte // of the block
}

var _ imagefmt.Writer = (*dynamicWriter)(nil)

func newDynamicWriter(sink imagefmt.Sink, s settings, f *diskFooter) (*dynamicWriter, error) {
	w := &dynamicWriter{
		ascent:   imagefmt.Ascent{Name: layer, Size: s.size},
		settings: s,
		sink:     sink,
		footer:   f,
		table:    bytes.Repeat([]byte{0xff}, int(s.tableBytes())),
		end:      s.tableEnd(),
		block:    -1,
		bitmap:   make([]byte, bitmapSize(s.blockSize)),
	}
	if sink.Zeroed() {
		return w, nil
	}
	return w, imagefmt.WriteZeros(sink, 0, footerSize+headerSize) // an old magic goes first
}

func (s *settings) blocks() int64     { return ondisk.DivUp(s.size, s.blockSize) }
func (s *settings) tableBytes() int64 { return ondisk.AlignUp(s.blocks()*tableEntrySize, sectorSize) }
func (s *settings) tableEnd() int64   { return footerSize + headerSize + s.tableBytes() }

// fileSize is the most that an image can need.
func (s *settings) fileSize() int64 {
	block := ondisk.PageSize + s.blockSize // with its bitmap and what aligns the data
	return s.tableEnd() + s.blocks()*block + footerSize
}

// dataStart is where the data of a block begins that is put behind end: the data
// is aligned, for file systems and direct I/O; its bitmap lies right before it.
func dataStart(end, bitmapSize int64) int64 { return ondisk.AlignUp(end+bitmapSize, ondisk.PageSize) }

// WriteAt stores the pages of p that are not zeros.
func (w *dynamicWriter) WriteAt(p []byte, off int64) (int, error) {
	if err := w.ascent.Admit(off, int64(len(p))); err != nil {
		return 0, err
	}
	n := len(p)
	for len(p) > 0 {
		from, to := ondisk.DataRun(p, off)
		if err := w.write(p[from:to], off+int64(from)); err != nil {
			return 0, w.ascent.Keep(err)
		}
		p, off = p[to:], off+int64(to)
	}
	return n, nil
}

// Zero has nothing to do: what is not stored is zeros.
func (w *dynamicWriter) Zero(off, n int64) error { return w.ascent.Admit(off, n) }

// write stores data of any length.
func (w *dynamicWriter) write(p []byte, off int64) error {
	for len(p) > 0 {
		in := off % w.settings.blockSize
		n := min(int64(len(p)), w.settings.blockSize-in)
		if err := w.enter(off / w.settings.blockSize); err != nil {
			return err
		}
		if err := w.fill(in); err != nil {
			return err
		}
		if _, err := w.sink.WriteAt(p[:n], w.host+in); err != nil {
			return err
		}
		w.filled = in + n
		// The rest of a page that has data is zeros in the file, and so stored.
		from, to := ondisk.AlignDown(in, ondisk.PageSize), ondisk.AlignUp(in+n, ondisk.PageSize)
		setBits(w.bitmap, from/sectorSize, to/sectorSize)
		p, off = p[n:], off+n
	}
	return nil
}

// enter makes block i the one that is filled.
func (w *dynamicWriter) enter(i int64) error {
	if i == w.block {
		return nil
	}
	if err := w.leave(); err != nil {
		return err
	}
	n := int64(len(w.bitmap))
	w.block, w.host, w.filled = i, dataStart(w.end, n), 0
	binary.BigEndian.PutUint32(w.table[i*tableEntrySize:], uint32((w.host-n)/sectorSize))
	if !w.sink.Zeroed() {
		if err := imagefmt.WriteZeros(w.sink, w.end, w.host-n-w.end); err != nil {
			return err
		}
	}
	w.end = w.host + w.settings.blockSize
	return nil
}

// fill makes the data of the block zeros up to in, where holes do not do it.
func (w *dynamicWriter) fill(in int64) error {
	if w.sink.Zeroed() {
		return nil
	}
	return imagefmt.WriteZeros(w.sink, w.host+w.filled, in-w.filled)
}

// leave ends the block that is filled.
func (w *dynamicWriter) leave() error {
	if w.block < 0 {
		return nil
	}
	if err := w.fill(w.settings.blockSize); err != nil {
		return err
	}
	_, err := w.sink.WriteAt(w.bitmap, w.host-int64(len(w.bitmap)))
	clear(w.bitmap)
	w.block = -1
	return err
}

// Finish writes the table and the footer, syncs, and then writes the header with
// the footer's copy and syncs again.
func (w *dynamicWriter) Finish(ctx context.Context) error { return w.ascent.Finish(ctx, w.finish) }

// Abort leaves the sink as it is; without a header it holds no image.
func (w *dynamicWriter) Abort() error { return w.ascent.Abort() }

func (w *dynamicWriter) finish() error {
	if err := w.leave(); err != nil {
		return err
	}
	footer := encode(w.footer, offFooterChecksum)
	header := encode(&diskHeader{
		Cookie:      [8]byte([]byte(headerCookie)),
		NextOffset:  noOffset,
		TableOffset: footerSize + headerSize,
		Version:     version1,
		MaxEntries:  uint32(w.settings.blocks()),
		BlockSize:   uint32(w.settings.blockSize),
	}, offHeaderChecksum)
	if len(w.table) > 0 {
		if _, err := w.sink.WriteAt(w.table, footerSize+headerSize); err != nil {
			return err
		}
	}
	// Right behind the last block: QEMU puts the next one there, and takes its
	// data for zeros, in which a footer further on would turn up.
	if _, err := w.sink.WriteAt(footer, w.end); err != nil {
		return err
	}
	if err := w.sink.Sync(); err != nil {
		return err
	}
	if _, err := w.sink.WriteAt(append(footer, header...), 0); err != nil {
		return err
	}
	return w.sink.Sync()
}
