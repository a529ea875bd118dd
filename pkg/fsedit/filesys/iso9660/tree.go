package iso9660

import (
	"io/fs"
	"iter"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// tree is the FS of a volume. A node is the place of a directory record: of a
// directory, the first in it or the one that names it.
type tree struct{ *volume }

var _ filesys.FS = tree{}

func (t tree) Root() filesys.Node { return t.root }

// directory is the object of a directory.
func (t tree) directory(n filesys.Node) (*object, error) {
	o, err := t.object(n)
	if err == nil && !o.mode().IsDir() {
		return nil, filesys.ErrNotDir
	}
	return o, err
}

func (t tree) Lookup(dir filesys.Node, name string) (filesys.Node, error) {
	for d, err := range t.entries(dir) {
		if err != nil {
			return 0, err
		}
		if d.Name == name {
			return d.Node, nil
		}
	}
	return 0, fs.ErrNotExist
}

func (t tree) ReadDir(dir filesys.Node) ([]filesys.Dirent, error) {
	var out []filesys.Dirent
	for d, err := range t.entries(dir) {
		if err != nil {
			return nil, err
		}
		if len(out) == t.limits.Entries {
			return nil, recordAt(int64(dir)).TooBig("a directory of more than %d names", len(out))
		}
		out = append(out, d)
	}
	return out, nil
}

// entries are those of a directory, up to its end or an error.
func (t tree) entries(dir filesys.Node) iter.Seq2[filesys.Dirent, error] {
	return func(yield func(filesys.Dirent, error) bool) {
		o, err := t.directory(dir)
		if err != nil {
			yield(filesys.Dirent{}, err)
			return
		}
		more := false // the record before has more extents
		for o, err := range t.records(o) {
			if err != nil {
				yield(filesys.Dirent{}, err)
				return
			}
			again := more
			more = o.Flags&flagMore != 0
			if again || o.self() || o.Flags&flagAssociated != 0 || o.rock.moved {
				continue
			}
			d, err := t.dirent(o)
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

func (t tree) dirent(o *object) (filesys.Dirent, error) {
	d := filesys.Dirent{Name: t.title(o), Node: filesys.Node(o.off), Type: o.mode().Type()}
	if o.rock.child != 0 {
		d.Node, d.Type = filesys.Node(o.rock.child*t.block), filesys.Dir
	}
	if d.Name == "" || d.Name == "." || d.Name == ".." || strings.ContainsAny(d.Name, "/\x00") {
		return d, recordAt(o.off).Corrupt("a name %q", d.Name)
	}
	return d, nil
}

// records are all of a directory.
func (t tree) records(dir *object) iter.Seq2[*object, error] {
	return func(yield func(*object, error) bool) {
		off := dir.start() * t.block
		for end := off + int64(dir.Size); off < end; off += t.block {
			p, err := t.readBlock(off)
			if err != nil {
				yield(nil, err)
				return
			}
			for at := int64(0); at < min(int64(len(p)), end-off); {
				o, err := t.decode(p[at:], off+at)
				if o == nil && err == nil {
					break
				}
				if !yield(o, err) || err != nil {
					return
				}
				at += int64(o.Length)
			}
		}
	}
}

func (t tree) Attr(n filesys.Node) (filesys.Attr, error) {
	o, err := t.object(n)
	if err != nil {
		return filesys.Attr{}, err
	}
	a := filesys.Attr{
		Node: n, Mode: o.mode(), UID: o.rock.uid, GID: o.rock.gid, Nlink: max(o.rock.nlink, 1), Mtime: o.mtime(), Btime: o.rock.btime,
	}
	a.Atime, a.Ctime = o.rock.atime, o.rock.ctime
	if a.Atime.IsZero() {
		a.Atime = a.Mtime
	}
	if a.Ctime.IsZero() {
		a.Ctime = a.Mtime
	}
	switch {
	case a.Mode.IsSymlink():
		a.Size = int64(len(o.rock.target))
	case a.Mode.IsDevice():
		a.Major, a.Minor = o.rock.major, o.rock.minor
	case a.Mode.IsDir():
		a.Size = int64(o.Size)
	case a.Mode.IsRegular():
		runs, err := t.runs(o)
		if err != nil {
			return a, err
		}
		a.Size = length(runs)
	}
	a.Blocks = ondisk.DivUp(a.Size, 512)
	return a, nil
}

func (t tree) Readlink(n filesys.Node) (string, error) {
	o, err := t.object(n)
	if err != nil {
		return "", err
	}
	if !o.mode().IsSymlink() {
		return "", filesys.ErrInvalid
	}
	if o.rock.damage != nil {
		return "", o.rock.damage
	}
	return o.rock.target, nil
}

// Xattrs are none: Rock Ridge knows no attributes.
func (t tree) Xattrs(n filesys.Node) (map[string][]byte, error) {
	_, err := t.object(n)
	return map[string][]byte{}, err
}
