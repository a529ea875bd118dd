package squashfs

import (
	"io/fs"
	"iter"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func (v tree) Root() filesys.Node { return filesys.Node(v.super.Root) }

// directory reads the inode of a directory.
func (v *volume) directory(n filesys.Node) (*inode, error) {
	i, err := v.inode(n)
	if err == nil && !i.mode().IsDir() {
		return nil, filesys.ErrNotDir
	}
	return i, err
}

func (v tree) Lookup(dir filesys.Node, name string) (filesys.Node, error) {
	i, err := v.directory(dir)
	if err != nil {
		return 0, err
	}
	for d, err := range v.entries(i) {
		if err != nil {
			return 0, err
		}
		if d.Name == name {
			return d.Node, nil
		}
	}
	return 0, fs.ErrNotExist
}

func (v tree) ReadDir(dir filesys.Node) ([]filesys.Dirent, error) {
	i, err := v.directory(dir)
	if err != nil {
		return nil, err
	}
	var out []filesys.Dirent
	for d, err := range v.entries(i) {
		if err != nil {
			return nil, err
		}
		if len(out) == v.limits.Entries {
			return nil, i.at().TooBig("a directory of more than %d names", len(out))
		}
		out = append(out, d)
	}
	return out, nil
}

// entries are those of a directory, up to its size or an error.
func (v *volume) entries(i *inode) iter.Seq2[filesys.Dirent, error] {
	return func(yield func(filesys.Dirent, error) bool) {
		const more = 3 // than the entries take
		if i.size <= more {
			return
		}
		m, err := v.at(v.super.DirTable, i.dir)
		if err != nil {
			yield(filesys.Dirent{}, err)
			return
		}
		l := listing{m: m, left: int64(i.size) - more}
		for l.left > 0 {
			d, err := l.next()
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

// listing reads the runs of a directory.
type listing struct {
	m    *reader
	left int64 // bytes of the directory
	run  dirHead
	n    int64 // entries left of the run
}

func (l *listing) take(n int) ([]byte, error) {
	if l.left -= int64(n); l.left < 0 {
		return nil, ondisk.At(layer, "directory", l.m.block).Corrupt("an entry does not end in it")
	}
	return l.m.take(n)
}

func (l *listing) next() (d filesys.Dirent, err error) {
	at := ondisk.At(layer, "directory", l.m.block)
	if l.n == 0 {
		p, err := l.take(dirHeadSize)
		if err != nil {
			return d, err
		}
		l.run = decodeDirHead(p)
		if l.n = int64(l.run.Count) + 1; l.n > 256 {
			return d, at.Corrupt("a run of %d names", l.n)
		}
	}
	l.n--
	p, err := l.take(dirEntrySize)
	if err != nil {
		return d, err
	}
	e := decodeDirEntry(p)
	if int(e.Size)+1 > maxName {
		return d, at.Corrupt("a name of %d bytes", e.Size)
	}
	if p, err = l.take(int(e.Size) + 1); err != nil {
		return d, err
	}
	d = filesys.Dirent{Name: string(p), Node: filesys.Node(uint64(l.run.Start)<<16 | uint64(e.Offset)), Type: typeOf(e.Kind)}
	if d.Name == "." || d.Name == ".." || strings.ContainsAny(d.Name, "/\x00") {
		return d, at.Corrupt("a name %q", d.Name)
	}
	return d, nil
}
