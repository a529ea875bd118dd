package xfs

import (
	"bytes"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func (t *tree) Readlink(n filesys.Node) (string, error) {
	in, err := t.v.node(n)
	if err != nil {
		return "", err
	}
	if !in.mode().IsSymlink() {
		return "", filesys.ErrInvalid
	}
	if in.Size == 0 || in.Size > maxSymlink {
		return "", in.at().Corrupt("symbolic link of %d bytes", in.Size)
	}
	f := t.v.dataFork(in)
	if f.format != formatLocal {
		p, err := t.v.remoteText(f, 0, int(in.Size), remoteLink)
		return target(p), err
	}
	if in.Size > uint64(len(f.raw)) {
		return "", in.at().Corrupt("symbolic link of %d bytes in %d", in.Size, len(f.raw))
	}
	return target(f.raw[:in.Size]), nil
}

// target ends at a NUL, as it does for every program of the guest.
func target(p []byte) string {
	p, _, _ = bytes.Cut(p, []byte{0})
	return string(p)
}

// remote is text outside of an inode: the target of a long link, or the value of
// a large attribute. In version 5 its pieces have headers.
type remote struct {
	name  string
	magic uint32
	byRun bool // a piece is a run of blocks, not one block
}

var (
	remoteLink  = remote{"symbolic link", symlinkMagic, true}
	remoteValue = remote{"attribute value", remoteAttrMagic, false}
)

// remoteText reads size bytes from block logical of a fork on.
func (v *volume) remoteText(f fork, logical uint64, size int, kind remote) ([]byte, error) {
	m, err := v.mapOf(f)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, size)
	for len(out) < size {
		count := uint64(1)
		if kind.byRun {
			r, err := m.find(logical)
			if err != nil {
				return nil, err
			}
			most := uint64(ondisk.DivUp(maxSymlink+remoteHeader, v.blockSize)) + 1
			count = min(r.end()-logical, most)
		}
		p, off, err := v.readRun(m, logical, count)
		if err != nil {
			return nil, err
		}
		if p == nil {
			return nil, f.at().Corrupt("block %d of the %s is a hole", logical, kind.name)
		}
		if v.v5() {
			at := ondisk.At(layer, kind.name, off).In("inode %d", f.in.num)
			if p, err = v.remotePart(p, off, f.in.num, len(out), kind.magic, at); err != nil {
				return nil, err
			}
		}
		out = append(out, p[:min(len(p), size-len(out))]...)
		logical += count
	}
	return out, nil
}

// remotePart checks the header of one piece, and gives what is behind it.
func (v *volume) remotePart(p []byte, off int64, ino uint64, done int, magic uint32, at ondisk.Place) ([]byte, error) {
	if got := be.Uint32(p); got != magic {
		return nil, at.Corrupt("magic %#08x", got)
	}
	if err := remoteStamp.verify(p, v.uuid, off, ino, at); err != nil {
		return nil, err
	}
	start, n := be.Uint32(p[4:]), be.Uint32(p[8:])
	if uint64(start) != uint64(done) || n == 0 || int64(n) > int64(len(p)-remoteHeader) {
		return nil, at.Corrupt("it holds bytes %d+%d, not those from %d on", start, n, done)
	}
	return p[remoteHeader:][:n], nil
}
