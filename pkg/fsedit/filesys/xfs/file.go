package xfs

import (
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

func (t *tree) Open(n filesys.Node) (blockdev.Device, error) {
	in, err := t.v.node(n)
	if err != nil {
		return nil, err
	}
	switch {
	case in.mode().IsDir():
		return nil, filesys.ErrIsDir
	case !in.mode().IsRegular():
		return nil, filesys.ErrNotFile
	case in.has(diRealtime):
		return nil, in.at().Unsupported("its content is on the realtime device")
	}
	m, err := t.v.mapOf(t.v.dataFork(in))
	if err != nil {
		return nil, err
	}
	return &file{v: t.v, size: int64(in.Size), blocks: m}, nil
}

// file is a Device over the blocks of a file. Nothing of its map is held but
// the leaf that was used last.
type file struct {
	v      *volume
	size   int64
	blocks mapper
}

var (
	_ blockdev.Device   = (*file)(nil)
	_ blockdev.Extenter = (*file)(nil)
	_ blockdev.Geometry = (*file)(nil)
)

func (f *file) Size() int64 { return f.size }

func (f *file) SectorSize() (logical, physical int) { return blockdev.SectorSize(f.v.dev) }

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("xfs: negative offset %d", off)
	}
	if off >= f.size {
		return 0, io.EOF
	}
	var end error
	if int64(len(p)) > f.size-off {
		p, end = p[:f.size-off], io.EOF
	}
	done := 0
	for done < len(p) {
		n, err := f.readRun(p[done:], off+int64(done))
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, end
}

// readRun reads as far as one run of blocks goes.
func (f *file) readRun(p []byte, off int64) (int, error) {
	r, left, err := f.runAt(off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	p = p[:left]
	if r.kind != runData {
		clear(p)
		return len(p), nil
	}
	n, err := f.v.dev.ReadAt(p, f.devOff(r, off))
	if n == len(p) {
		err = nil
	} else if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// runAt merges the runs of one kind that follow off, on the device too, for at
// most n bytes; it returns how many they cover.
func (f *file) runAt(off, n int64) (run, int64, error) {
	r, err := f.blocks.find(uint64(off) >> f.v.blockBits)
	if err != nil {
		return run{}, 0, err
	}
	last := uint64(off+n-1) >> f.v.blockBits
	for r.end() <= last {
		next, err := f.blocks.find(r.end())
		if err != nil || !f.continues(r, next) {
			break // an error shows again to whoever reads there
		}
		r.count += next.count
	}
	if r.end() > last {
		return r, n, nil
	}
	return r, int64(r.end())<<f.v.blockBits - off, nil
}

// continues reports whether next, found at the end of r, reads on where r ends.
// Block numbers have gaps between AGs, so that only their bytes tell.
func (f *file) continues(r, next run) bool {
	if r.kind != runData {
		return next.kind != runData && next.logical == r.end()
	}
	return next.kind == runData && next.logical == r.end() && f.v.byteOff(next.phys) == f.v.byteOff(r.phys)+int64(r.count)<<f.v.blockBits
}

func (f *file) devOff(r run, off int64) int64 {
	return f.v.byteOff(r.phys) + off - int64(r.logical)<<f.v.blockBits
}

// NextExtent tells holes and unwritten blocks as zero, and of the others what
// the device below tells.
func (f *file) NextExtent(off, n int64) (blockdev.Extent, error) {
	r, n, err := f.runAt(off, n)
	if err != nil {
		return blockdev.Extent{}, err
	}
	if r.kind != runData {
		return blockdev.Extent{Off: off, Len: n, Kind: blockdev.Zero}, nil
	}
	e, err := blockdev.NextExtent(f.v.dev, f.devOff(r, off), n)
	e.Off = off
	return e, err
}
