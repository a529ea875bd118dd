package main

import (
	"errors"
	"fmt"
	"path"

	"github.com/vmconv/vmconv/pkg/fsedit/pax"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// delayedMember is a link that could lead members behind it out of the folder.
// It is made when the last of them is in place.
type delayedMember struct {
	h  pax.Header
	to string // the delayed link that this one is another name of
}

var errOtherFilesystem = errors.New("the link and its target are on two filesystems")

func (u *unpacker) symlink(dir placed, full string, h pax.Header) error {
	if escapes(h.Link) {
		if err := clearName(dir.editor, dir.node, path.Base(full)); err != nil {
			return err
		}
		u.delay(full, &delayedMember{h: h})
		return nil
	}
	u.links[full] = true
	return u.makeSymlink(dir, full, h)
}

func (u *unpacker) delay(full string, d *delayedMember) {
	u.delayed[full] = d
	u.order = append(u.order, full)
}

func (u *unpacker) makeSymlink(dir placed, full string, h pax.Header) error {
	name := path.Base(full)
	if err := clearName(dir.editor, dir.node, name); err != nil {
		return err
	}
	node, err := dir.editor.Symlink(dir.node, name, h.Link, newAttr(h))
	if errors.Is(err, ondisk.ErrUnsupported) {
		u.lose("symbolic links are left out", full, err)
		return nil
	}
	if err != nil {
		return err
	}
	return u.finishNew(placed{dir.editor, node}, dir.node, full, h)
}

// hardLink gives a member of the archive, or a file of the guest, one more name.
func (u *unpacker) hardLink(dir placed, full string, h pax.Header) error {
	rel, err := u.relative(h.Link)
	if err != nil {
		return err
	}
	above, base := path.Split(rel)
	real, err := u.resolve(u.top, above, false)
	if err != nil {
		return err
	}
	target := path.Join(real, base)
	if target == full {
		return nil
	}
	u.forget(full)
	if u.delayed[target] != nil {
		if err := clearName(dir.editor, dir.node, path.Base(full)); err != nil {
			return err
		}
		u.delay(full, &delayedMember{h: h, to: target})
		return nil
	}
	return u.link(dir, full, real, base)
}

// link makes full another name of what base is in the folder real.
func (u *unpacker) link(dir placed, full, real, base string) error {
	name := path.Base(full)
	from, err := u.placed(real)
	if err != nil {
		return err
	}
	node, err := from.editor.Lookup(from.node, base)
	if err != nil {
		if len(u.losses) > 0 { // the target may be what was left out
			u.lose("hard links are left out", full, err)
			return nil
		}
		return err
	}
	if from.editor != dir.editor {
		u.lose("hard links are left out", full, errOtherFilesystem)
		return nil
	}
	if old, err := existing(dir.editor, dir.node, name); err != nil || old.Mode != 0 && old.Node == node {
		return err
	}
	if err := clearName(dir.editor, dir.node, name); err != nil {
		return err
	}
	err = dir.editor.Link(node, dir.node, name)
	if errors.Is(err, ondisk.ErrUnsupported) {
		u.lose("hard links are left out", full, err)
		return nil
	}
	return err
}

// makeLinks makes the links that waited, targets of others first, as they came.
func (u *unpacker) makeLinks() error {
	for _, full := range u.order {
		d := u.delayed[full]
		if d == nil {
			continue // something took its name, or it is made
		}
		delete(u.delayed, full)
		dir, err := u.placed(path.Dir(full))
		if err == nil && d.to == "" {
			err = u.makeSymlink(dir, full, d.h)
		} else if err == nil {
			err = u.link(dir, full, path.Dir(d.to), path.Base(d.to))
		}
		if err != nil {
			return fmt.Errorf("member %q: %w", d.h.Name, err)
		}
	}
	return nil
}
