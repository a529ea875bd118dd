package xfs

import (
	"bytes"
	"io/fs"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// dirent is one entry; name aliases the block.
type dirent struct {
	ino  uint64
	kind uint8 // 0 where types are not stored
	name []byte
}

func (d dirent) isDot() bool { return string(d.name) == "." || string(d.name) == ".." }

// direntTypes are the file types of directory entries, by their number.
var direntTypes = [...]filesys.Mode{
	1: filesys.Regular, 2: filesys.Dir, 3: filesys.CharDev, 4: filesys.BlockDev,
	5: filesys.Fifo, 6: filesys.Socket, 7: filesys.Symlink,
}

func (d dirent) mode() filesys.Mode {
	if int(d.kind) >= len(direntTypes) {
		return 0
	}
	return direntTypes[d.kind]
}

func (v *volume) dirNode(n filesys.Node) (*inode, error) {
	in, err := v.node(n)
	if err == nil && !in.mode().IsDir() {
		err = filesys.ErrNotDir
	}
	return in, err
}

func (t *tree) ReadDir(dir filesys.Node) ([]filesys.Dirent, error) {
	in, err := t.v.dirNode(dir)
	if err != nil {
		return nil, err
	}
	var out []filesys.Dirent
	full := false
	err = t.v.eachDirent(in, func(d dirent) bool {
		if full = len(out) >= t.v.limits.Entries; full {
			return false
		}
		if !d.isDot() {
			out = append(out, filesys.Dirent{Name: string(d.name), Node: filesys.Node(d.ino), Type: d.mode()})
		}
		return true
	})
	if full {
		return nil, in.at().TooBig("a directory of more than %d entries", t.v.limits.Entries)
	}
	return out, err
}

// Lookup finds a name by its hash where the directory has an index.
func (t *tree) Lookup(dir filesys.Node, name string) (filesys.Node, error) {
	in, err := t.v.dirNode(dir)
	if err != nil {
		return 0, err
	}
	var found dirent
	if in.Format == formatLocal || t.v.foldsCase() {
		found, err = t.v.scanFor(in, name)
	} else {
		found, err = t.v.lookupHash(in, name)
	}
	if err != nil {
		return 0, err
	}
	if found.ino == 0 || found.isDot() {
		return 0, &fs.PathError{Op: "lookup", Path: name, Err: fs.ErrNotExist}
	}
	return filesys.Node(found.ino), nil
}

// scanFor looks at all entries; the zero dirent means that there is none.
func (v *volume) scanFor(in *inode, name string) (found dirent, err error) {
	err = v.eachDirent(in, func(d dirent) bool {
		if string(d.name) == name || v.foldsCase() && equalFold(d.name, name) {
			found = d
		}
		return found.ino == 0
	})
	return found, err
}

// equalFold compares without regard to the case of ASCII letters.
func equalFold(a []byte, b string) bool {
	return len(a) == len(b) && bytes.Equal(lower(a), lower([]byte(b)))
}

func lower(p []byte) []byte {
	out := bytes.Clone(p)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}

// eachDirent calls f for the entries in the order of the disk, "." and ".."
// with them where they are stored, until f says false.
func (v *volume) eachDirent(in *inode, f func(dirent) bool) error {
	if in.Format == formatLocal {
		return v.eachShort(in, f)
	}
	m, err := v.mapOf(v.dataFork(in))
	if err != nil {
		return err
	}
	end := uint64(dirLeafOffset) >> v.blockBits
	step := uint64(1) << v.dirBits
	for logical, seen := uint64(0), uint64(0); logical < end; {
		if seen++; seen > v.blockCount {
			return in.at().Corrupt("a directory of more blocks than the filesystem has")
		}
		r, err := m.find(logical)
		if err != nil {
			return err
		}
		if r.kind != runData {
			logical = r.end() &^ (step - 1)
			if r.end()&(step-1) != 0 && r.end() < end {
				return in.at().Corrupt("a directory block starts with a hole")
			}
			continue
		}
		b, err := v.dirBlock(in, m, logical>>v.dirBits)
		if err != nil {
			return err
		}
		if more, err := v.eachInBlock(b, f); err != nil || !more {
			return err
		}
		logical += step
	}
	return nil
}

// checkName checks what no directory may hold.
func (v *volume) checkName(d dirent, at ondisk.Place) error {
	if len(d.name) == 0 || bytes.IndexByte(d.name, '/') >= 0 || bytes.IndexByte(d.name, 0) >= 0 {
		return at.Corrupt("an entry with the name %q", d.name)
	}
	if !v.inodeOK(d.ino) {
		return at.Corrupt("%q names inode %d, which does not exist", d.name, d.ino)
	}
	return nil
}
