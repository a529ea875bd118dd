package main

import (
	"io/fs"
	"path"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	maxMemberPath = 64 << 10 // bytes
	maxPathLinks  = 40       // as Linux follows in one path
)

// relative is a member's path below the folder; "" is the folder itself. A path
// that could lead out of it is refused.
func (u *unpacker) relative(name string) (string, error) {
	if len(name) > maxMemberPath {
		return "", ondisk.Because(ondisk.ErrTooBig, "a path of %d bytes", len(name))
	}
	if strings.HasPrefix(name, "/") && !u.absolute {
		u.absolute = true
		u.notice("the archive's paths are taken from DIR on, although they begin with /")
	}
	for step := range strings.SplitSeq(name, "/") {
		if step == ".." {
			return "", ondisk.Because(ondisk.ErrBlocked, "the path holds \"..\"")
		}
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}

// placed is the folder at a real path.
func (u *unpacker) placed(real string) (placed, error) {
	if at, ok := u.folders[real]; ok {
		return at, nil
	}
	ed, place, err := u.editors.of(real)
	if err != nil {
		return placed{}, err
	}
	at := placed{ed, ed.Root()}
	if place.Path != "/" {
		above, err := u.placed(path.Dir(real))
		if err != nil {
			return placed{}, err
		}
		if at.node, err = ed.Lookup(above.node, path.Base(real)); err != nil {
			return placed{}, err
		}
	}
	u.folders[real] = at
	return at, nil
}

// resolve finds the real path of the folder rel below the real path base, through
// the guest's links. Folders that the archive left out are made; those that a
// link names are not.
func (u *unpacker) resolve(base, rel string, create bool) (string, error) {
	real, rest := base, strings.Split(rel, "/")
	own := len(rest) // how many of rest, at its end, do not come from links
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		isOwn := len(rest) < own
		own = min(own, len(rest))
		if name == "" || name == "." {
			continue
		}
		if name == ".." { // in a link of the guest
			real = path.Dir(real)
			continue
		}
		next := path.Join(real, name)
		if _, ok := u.folders[next]; ok || u.mounts[next] {
			real = next
			continue
		}
		target, err := u.step(real, name, create && isOwn)
		if err != nil {
			return "", err
		}
		if target == "" {
			real = next
			continue
		}
		if links++; links > maxPathLinks {
			return "", filesys.ErrLoop
		}
		if strings.HasPrefix(target, "/") {
			real = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return real, nil
}

// step goes to a folder, or tells where the link of that name leads.
func (u *unpacker) step(real, name string, create bool) (target string, err error) {
	full := path.Join(real, name)
	if u.delayed[full] != nil {
		return "", ondisk.Because(ondisk.ErrBlocked, "it lies below %s, a link of the archive that leads out of DIR", full)
	}
	dir, err := u.placed(real)
	if err != nil {
		return "", err
	}
	attr, err := existing(dir.editor, dir.node, name)
	switch {
	case err != nil:
		return "", err
	case attr.Mode == 0 && create:
		node, err := dir.editor.Mkdir(dir.node, name, filesys.NewAttr{Mode: 0o755})
		if err != nil {
			return "", err
		}
		u.folders[full] = placed{dir.editor, node}
		return "", u.labels.give(u.folders[full], dir.node, full, filesys.Dir)
	case attr.Mode == 0:
		return "", &fs.PathError{Op: "lookup", Path: full, Err: fs.ErrNotExist}
	case attr.Mode.IsSymlink():
		return dir.editor.Readlink(attr.Node)
	case !attr.Mode.IsDir():
		return "", &fs.PathError{Op: "lookup", Path: full, Err: filesys.ErrNotDir}
	}
	u.folders[full] = placed{dir.editor, attr.Node}
	return "", nil
}

func (u *unpacker) leadsToFolder(above, name string) bool {
	_, err := u.resolve(above, name, false)
	return err == nil
}

// forget drops what is known of a name that gets a new object. Removing a folder
// only works when it is empty, so that nothing below it is known.
func (u *unpacker) forget(full string) {
	delete(u.folders, full)
	delete(u.links, full)
	delete(u.stamps, full)
	delete(u.delayed, full)
}

// escapes tells whether a link of the archive may lead out of the folder, as GNU
// tar judges: it is absolute or goes up.
func escapes(target string) bool {
	return strings.HasPrefix(target, "/") || strings.Contains("/"+target+"/", "/../")
}
