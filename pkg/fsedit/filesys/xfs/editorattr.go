package xfs

import (
	"io/fs"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// attrSet is the extended attributes of an inode that is being changed.
type attrSet struct {
	e    *editor
	in   *inode
	list []attribute
}

func (e *editor) attributes(in *inode) (*attrSet, error) {
	a := &attrSet{e: e, in: in}
	f, ok := e.v.attrFork(in)
	if !ok {
		return a, nil
	}
	l := attrList{v: e.v, fork: f}
	err := l.read()
	a.list = l.items
	return a, err
}

func (a *attrSet) index(flags uint8, name string) int {
	return slices.IndexFunc(a.list, func(x attribute) bool { return x.flags == flags && x.name == name })
}

// remove takes an attribute away; false when it was not there.
func (a *attrSet) remove(flags uint8, name string) bool {
	i := a.index(flags, name)
	if i >= 0 {
		a.list = slices.Delete(a.list, i, i+1)
	}
	return i >= 0
}

// set adds or replaces an attribute.
func (a *attrSet) set(flags uint8, name string, value []byte) error {
	if len(value) > maxAttrValue {
		return a.in.at().NoSpace("xattr %q of %d bytes", name, len(value))
	}
	a.remove(flags, name)
	a.list = append(a.list, attribute{flags, name, slices.Clone(value)})
	return nil
}

// store writes the attributes back; the inode is the caller's to stage.
func (a *attrSet) store() error { return a.e.storeAttrs(a.in, a.list) }

// splitXattrName finds the namespace of a name.
func splitXattrName(full string) (flags uint8, name string, err error) {
	for prefix, flags := range map[string]uint8{"user.": 0, "trusted.": attrRoot, "security.": attrSecure} {
		name, ok := strings.CutPrefix(full, prefix)
		if ok && name != "" && len(name) <= maxName && !strings.Contains(name, "\x00") && aclNames[full] == "" {
			return flags, name, nil
		}
	}
	return 0, "", ondisk.At(layer, "", ondisk.NoOffset).Unsupported("xattr %q", full)
}

// SetXattr sets one attribute. An ACL comes in the form of setxattr(2), and an
// access ACL sets the permission bits too.
func (e *editor) SetXattr(n filesys.Node, full string, value []byte) error {
	return e.do(func() error {
		in, a, err := e.attributesOf(n)
		if err != nil {
			return err
		}
		if name, ok := aclStored[full]; ok {
			err = a.setACL(name, value)
		} else {
			var flags uint8
			var name string
			if flags, name, err = splitXattrName(full); err == nil {
				err = a.set(flags, name, value)
			}
		}
		if err != nil {
			return err
		}
		return e.storeChanged(in, a)
	})
}

// RemoveXattr removes one attribute: fs.ErrNotExist when there is none.
func (e *editor) RemoveXattr(n filesys.Node, full string) error {
	return e.do(func() error {
		in, a, err := e.attributesOf(n)
		if err != nil {
			return err
		}
		flags, name := uint8(attrRoot), aclStored[full]
		if name == "" {
			if flags, name, err = splitXattrName(full); err != nil {
				return err
			}
		}
		if !a.remove(flags, name) {
			return &fs.PathError{Op: "removexattr", Path: full, Err: fs.ErrNotExist}
		}
		return e.storeChanged(in, a)
	})
}

func (e *editor) attributesOf(n filesys.Node) (*inode, *attrSet, error) {
	in, err := e.plainNode(n)
	if err != nil {
		return nil, nil, err
	}
	a, err := e.attributes(in)
	return in, a, err
}

// storeChanged stages an inode with its attributes. A directory may have less room
// for its names now.
func (e *editor) storeChanged(in *inode, a *attrSet) error {
	if err := a.store(); err != nil {
		return err
	}
	if err := e.changed(in); err != nil {
		return err
	}
	if d := e.dirs[in.num]; d != nil && d.dirty {
		return e.touchDir(d)
	}
	return nil
}

// dropPrivileges removes the attributes that speak of the old content, as a write
// does: capabilities, and the hash of an integrity measurement.
func (e *editor) dropPrivileges(in *inode) error {
	a, err := e.attributes(in)
	if err != nil {
		return err
	}
	capability, ima := a.remove(attrSecure, "capability"), a.remove(attrSecure, "ima")
	if !capability && !ima {
		return nil
	}
	return a.store()
}
