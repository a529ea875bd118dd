package ext

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"iter"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// A directory is read block by block, as a list: the inner nodes of an htree
// look like blocks without entries, so that its index need not be understood.

// dirent is one entry; name aliases the block.
type dirent struct {
	ino  uint32
	kind uint8
	name []byte
}

func (t *tree) Lookup(dir filesys.Node, name string) (filesys.Node, error) {
	in, err := t.v.dirNode(dir)
	if err != nil {
		return 0, err
	}
	for d, err := range t.v.dirents(in) {
		if err != nil {
			return 0, err
		}
		if in.matches(d, name) {
			return filesys.Node(d.ino), nil
		}
	}
	return 0, &fs.PathError{Op: "lookup", Path: name, Err: fs.ErrNotExist}
}

func (t *tree) ReadDir(dir filesys.Node) ([]filesys.Dirent, error) {
	in, err := t.v.dirNode(dir)
	if err != nil {
		return nil, err
	}
	var out []filesys.Dirent
	for d, err := range t.v.dirents(in) {
		if err != nil {
			return nil, err
		}
		if d.isDot() {
			continue
		}
		if len(out) >= t.v.limits.Entries {
			return nil, in.at().TooBig("a directory of more than %d entries", len(out))
		}
		out = append(out, filesys.Dirent{Name: in.shown(d), Node: filesys.Node(d.ino), Type: t.v.direntType(d)})
	}
	return out, nil
}

func (v *volume) dirNode(n filesys.Node) (*inode, error) {
	in, err := v.node(n)
	if err != nil {
		return nil, err
	}
	if !in.mode().IsDir() {
		return nil, filesys.ErrNotDir
	}
	return in, nil
}

// shown is the name of an entry. One that is encrypted may hold any byte, and
// is shown in base64, without padding, of the alphabet for URLs.
func (in *inode) shown(d dirent) string {
	if in.has(flEncrypt) && !d.isDot() {
		return base64.RawURLEncoding.EncodeToString(d.name)
	}
	return string(d.name)
}

func (in *inode) matches(d dirent, name string) bool {
	if in.has(flEncrypt) {
		return in.shown(d) == name
	}
	return string(d.name) == name
}

func (d dirent) isDot() bool {
	return len(d.name) == 1 && d.name[0] == '.' || len(d.name) == 2 && d.name[0] == '.' && d.name[1] == '.'
}

var direntTypes = [...]filesys.Mode{
	ftRegular: filesys.Regular,
	ftDir:     filesys.Dir,
	ftChar:    filesys.CharDev,
	ftBlock:   filesys.BlockDev,
	ftFifo:    filesys.Fifo,
	ftSocket:  filesys.Socket,
	ftSymlink: filesys.Symlink,
}

func (v *volume) direntType(d dirent) filesys.Mode {
	if !v.hasIncompat(fiFiletype) || int(d.kind) >= len(direntTypes) {
		return 0
	}
	return direntTypes[d.kind]
}

// dirents yields the entries of a directory in the order of the disk, "." and
// ".." with them. It ends after the first error.
func (v *volume) dirents(in *inode) iter.Seq2[dirent, error] {
	return func(yield func(dirent, error) bool) {
		err := v.eachDirPart(in, func(part []byte, at ondisk.Place) (bool, error) {
			return v.eachDirent(in, part, at, func(d dirent) bool { return yield(d, nil) })
		})
		if err != nil {
			yield(dirent{}, err)
		}
	}
}

// eachDirPart calls f with every verified block of a directory, or with the two
// parts of an inline one, until f says false.
func (v *volume) eachDirPart(in *inode, f func(part []byte, at ondisk.Place) (bool, error)) error {
	if in.has(flInlineData) {
		return v.eachInlinePart(in, f)
	}
	m := v.mapOf(in)
	end := min(v.blocksOf(in.size(v)), maxLogical)
	for logical, seen := uint64(0), uint64(0); logical < end; {
		r, err := m.find(logical)
		if err != nil {
			return err
		}
		if r.kind != runData {
			logical = r.end()
			continue
		}
		if seen++; seen > v.blockCount {
			return in.at().Corrupt("a directory of more blocks than the filesystem has")
		}
		nr := r.phys + logical - r.logical
		block, err := v.readBlocks(nr, min(r.end(), end)-logical)
		if err != nil {
			return err
		}
		at := ondisk.At(layer, "directory block", v.byteOff(nr)).In("inode %d", in.num)
		if err := v.verifyDirBlock(in, logical, block, at); err != nil {
			return err
		}
		if more, err := f(block, at); err != nil || !more {
			return err
		}
		logical++
	}
	return nil
}

// eachInlinePart shows an inline directory: the number of the parent and
// entries in i_block, more entries in the attribute.
func (v *volume) eachInlinePart(in *inode, f func(part []byte, at ondisk.Place) (bool, error)) error {
	block, rest, err := v.inlineData(in)
	if err != nil {
		return err
	}
	if more, err := f(block[4:], in.at()); err != nil || !more {
		return err
	}
	_, err = f(rest, in.at())
	return err
}

// eachDirent calls f for the entries that tile part; false when f said stop.
func (v *volume) eachDirent(in *inode, part []byte, at ondisk.Place, f func(dirent) bool) (bool, error) {
	for off := 0; off < len(part); {
		rest := part[off:]
		if len(rest) < direntHeader {
			return false, at.Corrupt("entry at %#x: cut off", off)
		}
		d := dirent{ino: le.Uint32(rest), kind: rest[7]}
		n, nameLen := recLen(le.Uint16(rest[4:]), int(v.blockSize)), int(rest[6])
		if n < direntHeader || n%4 != 0 || n > len(rest) || d.ino != 0 && n < direntHeader+nameLen {
			return false, at.Corrupt("entry at %#x: length %d, name of %d bytes, %d bytes left", off, n, nameLen, len(rest))
		}
		off += n
		if d.ino == 0 {
			continue
		}
		d.name = rest[direntHeader : direntHeader+nameLen]
		plain := in.has(flEncrypt) || bytes.IndexByte(d.name, '/') < 0 && bytes.IndexByte(d.name, 0) < 0
		if d.ino > v.inodeCount || nameLen == 0 || !plain {
			return false, at.Corrupt("entry %q names inode %d of %d", d.name, d.ino, v.inodeCount)
		}
		if !f(d) {
			return false, nil
		}
	}
	return true, nil
}

// verifyDirBlock checks the checksum of a block: behind the index of an htree
// node, or in a fake entry at the end of a leaf.
func (v *volume) verifyDirBlock(in *inode, logical uint64, block []byte, at ondisk.Place) error {
	if !v.checksums() {
		return nil
	}
	if in.has(flIndex) {
		if countAt := dxCountAt(block, logical); countAt != 0 {
			return v.verifyDxNode(in, block, countAt, at)
		}
	}
	tail := block[len(block)-dirTailSize:]
	if le.Uint32(tail) != 0 || le.Uint16(tail[4:]) != dirTailSize || tail[6] != 0 || tail[7] != dirTailType {
		return at.Corrupt("no checksum at its end")
	}
	if sum, want := dirLeafSum(in.iseed(v), block), le.Uint32(tail[8:]); sum != want {
		return at.Corrupt("checksum %#08x, computed %#08x", want, sum)
	}
	return nil
}

// dxCountAt is where an htree node keeps its count and limit; 0 for a leaf. The
// root is block 0; other nodes are one empty entry that fills the block.
func dxCountAt(block []byte, logical uint64) int {
	if logical == 0 {
		return dxRootCount
	}
	if le.Uint32(block) == 0 && recLen(le.Uint16(block[4:]), len(block)) == len(block) {
		return dxNodeCount
	}
	return 0
}

func (v *volume) verifyDxNode(in *inode, block []byte, countAt int, at ondisk.Place) error {
	limit, count := int(le.Uint16(block[countAt:])), int(le.Uint16(block[countAt+2:]))
	tail := countAt + limit*dxEntrySize
	if count > limit || tail+dxTailSize > len(block) {
		return at.Corrupt("index of %d entries, room for %d", count, limit)
	}
	if sum, want := dxSum(in.iseed(v), block, countAt), le.Uint32(block[tail+4:]); sum != want {
		return at.Corrupt("checksum %#08x, computed %#08x", want, sum)
	}
	return nil
}
