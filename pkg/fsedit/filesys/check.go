package filesys

import (
	"context"
	"errors"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Problem is one fault of a filesystem.
type Problem struct {
	Path string // inside the filesystem; "" for what belongs to no file
	Err  error
}

// Checked is what [Check] found. What was not Counted could not be compared with
// the free space, and Uncounted says why.
type Checked struct {
	Files, Folders int64 // names of all but folders; folders
	Unread         int64 // objects that no reader here understands, as encrypted links are
	Problems       []Problem
	More           int64 // problems beyond those that are listed
	Uncounted      string
}

// maxProblems is how many faults are listed.
const maxProblems = 1000

// Check reads all metadata of a volume's default tree: every folder, inode, extended
// attribute, link and extent map, so that whatever a driver verifies when it reads is
// verified; compares the number of names of each file with its link count; and has the
// free space compared with the counters. It reads no content and writes nothing. What
// the filesystem does wrong is a Problem; an error is a device that cannot be read, or
// the end of ctx. Memory grows with the folders and the files of several names.
func Check(ctx context.Context, v Volume) (Checked, error) {
	c := checker{ctx: ctx, folders: map[Node]bool{}, linked: map[Node]*linkCount{}}
	root, err := v.Root("")
	if err != nil {
		return c.out, c.note("/", err)
	}
	c.fs = root
	if err := c.folder("/", root.Root()); err != nil {
		return c.out, err
	}
	for _, l := range c.linked {
		if l.names != int64(l.links) {
			c.problem(l.path, ondisk.Because(ondisk.ErrCorrupt, "%d links, and %d names lead to it", l.links, l.names))
		}
	}
	_, err = v.FreeExtents(ctx)
	if errors.Is(err, ondisk.ErrUnsupported) || errors.Is(err, ondisk.ErrTooBig) {
		c.out.Uncounted, err = err.Error(), nil
	}
	return c.out, c.note("", err)
}

type checker struct {
	ctx     context.Context
	fs      FS
	out     Checked
	folders map[Node]bool
	linked  map[Node]*linkCount
}

type linkCount struct {
	path  string
	links uint32
	names int64
}

// note keeps a fault of the filesystem, and returns any other error.
func (c *checker) note(path string, err error) error {
	if errors.Is(err, ondisk.ErrUnsupported) || errors.Is(err, ondisk.ErrEncrypted) {
		c.out.Unread++
		return nil
	}
	for _, s := range []error{ondisk.ErrCorrupt, ondisk.ErrFormat, ondisk.ErrTooBig, ErrNotDir, ErrInvalid} {
		if errors.Is(err, s) {
			c.problem(path, err)
			return nil
		}
	}
	return err
}

func (c *checker) problem(path string, err error) {
	if len(c.out.Problems) >= maxProblems {
		c.out.More++
		return
	}
	c.out.Problems = append(c.out.Problems, Problem{path, err})
}

// folder checks what is below one, with a list of those to come instead of a stack
// as deep as the tree.
func (c *checker) folder(path string, n Node) error {
	type place struct {
		path string
		node Node
	}
	for todo := []place{{path, n}}; len(todo) > 0; {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if c.folders[at.node] {
			c.problem(at.path, ondisk.Because(ondisk.ErrCorrupt, "the folder has another place too"))
			continue
		}
		c.folders[at.node] = true
		c.out.Folders++
		list, err := c.fs.ReadDir(at.node)
		if err := c.note(at.path, err); err != nil {
			return err
		}
		for _, d := range list {
			name := at.path + d.Name
			folder, err := c.object(name, d)
			if err := c.note(name, err); err != nil {
				return err
			}
			if folder {
				todo = append(todo, place{name + "/", d.Node})
			}
		}
	}
	return nil
}

// object checks one name; folder says that it is one.
func (c *checker) object(path string, d Dirent) (folder bool, err error) {
	a, err := c.fs.Attr(d.Node)
	if err != nil {
		return false, err
	}
	if d.Type != 0 && d.Type != a.Mode.Type() {
		c.problem(path, ondisk.Because(ondisk.ErrCorrupt, "the folder has it as %v, its inode says %v", d.Type, a.Mode))
	}
	if folder = a.Mode.IsDir(); !folder {
		c.out.Files++
	}
	if !folder && a.Nlink > 1 {
		if l := c.linked[d.Node]; l != nil {
			l.names++
			return false, nil
		}
		c.linked[d.Node] = &linkCount{path, a.Nlink, 1}
	}
	if _, err = c.fs.Xattrs(d.Node); err != nil {
		return folder, err
	}
	switch a.Mode.Type() {
	case Symlink:
		_, err = c.fs.Readlink(d.Node)
	case Regular:
		err = c.extents(d.Node)
	}
	return folder, err
}

// extents reads the map of a file.
func (c *checker) extents(n Node) error {
	dev, err := c.fs.Open(n)
	if err != nil {
		return err
	}
	for off := int64(0); off < dev.Size(); {
		e, err := blockdev.NextExtent(dev, off, dev.Size()-off)
		if err != nil {
			return err
		}
		off = e.End()
	}
	return c.ctx.Err()
}
