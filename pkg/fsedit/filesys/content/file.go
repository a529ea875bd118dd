package content

import (
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// Run says where bytes of a file lie: Len of them from Off on at byte At of the
// device, or nowhere, when they read as zeros.
type Run struct {
	Off, Len int64
	At       int64
	Hole     bool
}

func (r Run) end() int64 { return r.Off + r.Len }

// Map finds the bytes of a file: a run that begins at or before off and ends after
// it. A run may be told in parts. It is called concurrently.
type Map func(off int64) (Run, error)

// File is a Device over the runs of a file. It holds nothing of the map.
type File struct {
	dev  blockdev.Device
	size int64
	find Map
}

var (
	_ blockdev.Device   = (*File)(nil)
	_ blockdev.Extenter = (*File)(nil)
	_ blockdev.Geometry = (*File)(nil)
)

// New is the file of size bytes that find maps to dev.
func New(dev blockdev.Device, size int64, find Map) *File { return &File{dev, size, find} }

// Size is in bytes.
func (f *File) Size() int64 { return f.size }

// SectorSize is that of the device.
func (f *File) SectorSize() (logical, physical int) { return blockdev.SectorSize(f.dev) }

// ReadAt follows io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
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

// readRun reads as far as one run goes.
func (f *File) readRun(p []byte, off int64) (int, error) {
	r, err := f.runAt(off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	p = p[:r.Len]
	if r.Hole {
		clear(p)
		return len(p), nil
	}
	n, err := f.dev.ReadAt(p, r.At)
	if n == len(p) {
		err = nil
	} else if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// runAt is what the file has from off on for at most n bytes, runs that continue
// each other put together.
func (f *File) runAt(off, n int64) (Run, error) {
	r, err := f.find(off)
	if err != nil {
		return Run{}, err
	}
	for r.end()-off < n { // not off+n: a file may end where int64 does
		next, err := f.find(r.end())
		if err != nil || next.Hole != r.Hole || next.Off != r.end() || !r.Hole && next.At != r.At+r.Len {
			break // an error shows again to whoever reads there
		}
		r.Len += next.Len
	}
	return Run{Off: off, Len: min(n, r.end()-off), At: r.At + off - r.Off, Hole: r.Hole}, nil
}

// NextExtent tells what is mapped nowhere as zero, and of the rest what the device
// tells.
func (f *File) NextExtent(off, n int64) (blockdev.Extent, error) {
	r, err := f.runAt(off, n)
	if err != nil {
		return blockdev.Extent{}, err
	}
	if r.Hole {
		return blockdev.Extent{Off: off, Len: r.Len, Kind: blockdev.Zero}, nil
	}
	e, err := blockdev.NextExtent(f.dev, r.At, r.Len)
	e.Off = off
	return e, err
}
