package squashfs

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// file is the content of a regular file. It is safe for concurrent use.
type file struct {
	v      *volume
	at     ondisk.Place
	size   int64
	start  int64
	blocks []uint32 // their lengths
	marks  []int64  // where each markEvery-th block lies, from start on
	tail   fragment // of what follows the blocks; Size 0 without one
	tailAt int64    // in the unpacked fragment
}

// markEvery is how many lengths are added up to find a block.
const markEvery = 64

var (
	_ blockdev.Device   = (*file)(nil)
	_ blockdev.Extenter = (*file)(nil)
)

func (v tree) Open(n filesys.Node) (blockdev.Device, error) {
	i, err := v.inode(n)
	switch {
	case err != nil:
		return nil, err
	case i.mode().IsDir():
		return nil, filesys.ErrIsDir
	case !i.mode().IsRegular():
		return nil, filesys.ErrNotFile
	}
	f := &file{v: v.volume, at: i.at(), size: int64(i.size), start: int64(i.start)}
	block := int64(v.super.BlockSize)
	count := ondisk.DivUp(f.size, block)
	if i.frag != noIndex {
		count = f.size / block
	}
	if count > v.limits.Table/8 {
		return nil, f.at.TooBig("%d blocks", count)
	}
	if err := f.readBlocks(i.rest, count); err != nil {
		return nil, err
	}
	if i.frag == noIndex || f.size%block == 0 {
		return f, nil
	}
	return f, f.readTail(i)
}

// readBlocks reads the lengths of the blocks, in steps: there may be fewer than
// the size says.
func (f *file) readBlocks(m *reader, count int64) error {
	at := f.start
	var buf [4 * markEvery]byte
	for count > 0 {
		n := int(min(count, markEvery))
		if err := m.fill(buf[:4*n]); err != nil {
			return err
		}
		f.marks = append(f.marks, at)
		for k := range n {
			x := le.Uint32(buf[4*k:])
			length := int64(x &^ plainData)
			if length > int64(f.v.super.BlockSize) || x>>25 != 0 || length > 0 && !ondisk.InRange(at, length, f.v.used) {
				return f.at.Corrupt("block %d of %d bytes at %#x", len(f.blocks), length, at)
			}
			at += length
			f.blocks = append(f.blocks, x)
		}
		count -= int64(n)
	}
	return nil
}

func (f *file) readTail(i *inode) error {
	if i.frag >= f.v.super.Fragments {
		return f.at.Corrupt("fragment %d of %d", i.frag, f.v.super.Fragments)
	}
	p, err := f.v.entry(f.v.super.FragTable, int64(i.frag), fragmentSize)
	if err != nil {
		return err
	}
	if _, err := binary.Decode(p, le, &f.tail); err != nil {
		return f.at.Wrap(err)
	}
	f.tailAt = int64(i.fragAt)
	if f.tail.Size == 0 || f.tail.Start >= uint64(f.v.used) {
		return f.at.Corrupt("fragment %d is empty", i.frag)
	}
	return nil
}

// Size is in bytes.
func (f *file) Size() int64 { return f.size }

// ReadAt follows io.ReaderAt.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("file: negative offset %d", off)
	}
	if off >= f.size {
		return 0, io.EOF
	}
	var end error
	if int64(len(p)) > f.size-off {
		p, end = p[:f.size-off], io.EOF
	}
	for done := 0; done < len(p); {
		n, err := f.readSome(p[done:], off+int64(done))
		done += n
		if err != nil {
			return done, err
		}
	}
	return len(p), end
}

// readSome reads at most to the end of a block, or of a run of blocks that are
// stored as they are.
func (f *file) readSome(p []byte, off int64) (int, error) {
	size := int64(f.v.super.BlockSize)
	k, in := off/size, off%size
	p = p[:min(int64(len(p)), f.size-off)]
	if k >= int64(len(f.blocks)) {
		return f.readPacked(p, in+f.tailAt, f.tail.Size, int64(f.tail.Start))
	}
	x := f.blocks[k]
	want := min(size, f.size-k*size)
	switch {
	case x == 0:
		p = p[:min(int64(len(p)), want-in)]
		clear(p)
		return len(p), nil
	case x == plainData|uint32(want):
		n := want - in
		for j := k + 1; n < int64(len(p)) && j < int64(len(f.blocks)) && f.blocks[j] == plainData|uint32(size); j++ {
			n += size
		}
		p = p[:min(int64(len(p)), n)]
		return len(p), ondisk.Full(f.v.dev, p, f.place(k)+in)
	}
	return f.readPacked(p[:min(int64(len(p)), want-in)], in, x, f.place(k))
}

// place is where a block lies.
func (f *file) place(k int64) int64 {
	at := f.marks[k/markEvery]
	for j := k / markEvery * markEvery; j < k; j++ {
		at += int64(f.blocks[j] &^ plainData)
	}
	return at
}

// readPacked reads from byte in of a block that unpacks to that at least.
func (f *file) readPacked(p []byte, in int64, x uint32, off int64) (int, error) {
	plain := f.v.data.Get(off)
	if plain == nil {
		at := ondisk.At(layer, "data block", off)
		block, err := f.v.unpack(at, off, int(x&^plainData), x&plainData != 0, int(f.v.super.BlockSize))
		if err != nil {
			return 0, err
		}
		plain = f.v.data.Put(off, block)
	}
	if !ondisk.InRange(in, int64(len(p)), int64(len(plain))) {
		return 0, ondisk.At(layer, "data block", off).Corrupt("%d bytes, the file needs %d at %d", len(plain), len(p), in)
	}
	return copy(p, plain[in:]), nil
}

// NextExtent tells blocks of length 0 as zero.
func (f *file) NextExtent(off, n int64) (blockdev.Extent, error) {
	size := int64(f.v.super.BlockSize)
	k := off / size
	hole := f.hole(k)
	for j := k + 1; j <= (off+n-1)/size; j++ {
		if f.hole(j) != hole {
			n = j*size - off
			break
		}
	}
	kind := blockdev.Data
	if hole {
		kind = blockdev.Zero
	}
	return blockdev.Extent{Off: off, Len: n, Kind: kind}, nil
}

func (f *file) hole(k int64) bool { return k < int64(len(f.blocks)) && f.blocks[k] == 0 }
