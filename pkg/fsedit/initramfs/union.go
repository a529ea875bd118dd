package initramfs

import (
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/cpio"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxHops is how many symbolic links the kernel follows in one path.
const maxHops = 40

// Entry is one object of the unpacked tree.
type Entry struct {
	Path    string // canonical: no "." or "..", no leading "/", no link on the way
	Mode    uint32 // type and permissions, as in package cpio
	UID     uint32
	GID     uint32
	Mtime   uint32
	Target  string // of a symbolic link
	Segment int    // index in [Image.Segments] of the archive that gave its name

	node *node
}

// Size is the number of bytes of a regular file.
func (e Entry) Size() int64 { return e.node.size }

// Links is the number of names that share the file.
func (e Entry) Links() int { return e.node.links }

func (e Entry) IsDir() bool     { return e.Mode&cpio.TypeMask == cpio.TypeDir }
func (e Entry) IsRegular() bool { return e.Mode&cpio.TypeMask == cpio.TypeRegular }
func (e Entry) IsSymlink() bool { return e.Mode&cpio.TypeMask == cpio.TypeSymlink }

// node is the content of an entry; hard links share it.
type node struct {
	size    int64
	links   int
	segment int   // where the data lies,
	off     int64 // in the plain stream of that segment
	kept    bool
	data    []byte
}

// union is the tree as the kernel builds it, entry by entry.
type union struct {
	entries  map[string]*Entry
	children map[string]int // of directories
	budget   int64          // bytes that names may still cost
}

// entryCost is about what one entry takes in memory beside its strings.
const entryCost = 300

func newUnion(budget int64) *union {
	return &union{entries: map[string]*Entry{}, children: map[string]int{}, budget: budget}
}

// implied are the directories that the archive built into every kernel makes.
func implied(path string) bool { return path == "" || path == "dev" || path == "root" }

func (u *union) isDir(path string) bool {
	e := u.entries[path]
	return e != nil && e.IsDir() || e == nil && implied(path)
}

// place is the canonical path that a name of an archive stands for. It is false
// where the kernel could not create anything.
func (u *union) place(name string) (string, bool) {
	name = strings.TrimRight(name, "/")
	dir, base := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		dir, base = name[:i], name[i+1:]
	}
	dir, ok := u.resolve(dir, true)
	if !ok || !u.isDir(dir) || base == "" || base == "." || base == ".." {
		return "", false
	}
	return join(dir, base), true
}

// put adds e at its path, as the kernel's clean_path and what follows it do; it
// is false when the kernel would fail.
func (u *union) put(e *Entry) (bool, error) {
	u.budget -= entryCost + int64(len(e.Path)+len(e.Target))
	if u.budget < 0 {
		return false, ondisk.Because(ondisk.ErrTooBig, "names of the archives take more memory than the limit")
	}
	old := u.entries[e.Path]
	switch {
	case old == nil && implied(e.Path) && !e.IsDir():
		return false, nil
	case old == nil:
		u.children[parent(e.Path)]++
	case old.IsDir() && e.IsDir(): // changes owner and mode, and keeps what is in it
	case old.IsDir() && u.children[e.Path] > 0:
		return false, nil
	default:
		old.node.links--
		delete(u.children, e.Path)
	}
	e.node.links++
	u.entries[e.Path] = e
	return true, nil
}

// resolve follows the symbolic links of path, the last component's if last. The
// result need not exist; it is false after too many links or beyond a file.
func (u *union) resolve(path string, last bool) (string, bool) {
	cur, hops := "", 0
	for path != "" {
		var part string
		part, path, _ = strings.Cut(path, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			cur = parent(cur)
			continue
		}
		next := join(cur, part)
		e := u.entries[next]
		if e != nil && e.IsSymlink() && (last || strings.Trim(path, "/") != "") {
			if hops++; hops > maxHops {
				return "", false
			}
			if strings.HasPrefix(e.Target, "/") {
				cur = ""
			}
			path = e.Target + "/" + path
			continue
		}
		if e != nil && !e.IsDir() && strings.Trim(path, "/") != "" {
			return "", false
		}
		cur = next
	}
	return cur, true
}

func join(dir, base string) string {
	if dir == "" {
		return base
	}
	return dir + "/" + base
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}
