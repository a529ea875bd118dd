package main

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/pax"
	"github.com/vmconv/vmconv/pkg/fsedit/selinux"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// unpacker puts the members of an archive below one folder of a guest, through
// editors: each member sees what those before it did.
type unpacker struct {
	ctx     context.Context
	tree    *guest.Tree
	editors editors
	labels  labels
	top     string // the folder's real path
	mounts  map[string]bool

	folders map[string]placed         // known ones, by real path
	links   map[string]bool           // symbolic links that the archive made, by real path
	delayed map[string]*delayedMember // links that are made at the end, by real path
	order   []string                  // of delayed
	stamps  map[string]folderStamp    // by real path

	losses   []*loss
	notice   func(text string)
	absolute bool // it was said that leading slashes are cut off
	owners   map[string]map[string]uint32
}

// folderStamp is what a folder becomes when it is full.
type folderStamp struct {
	at placed
	h  pax.Header
}

// loss is a kind of thing that a filesystem cannot keep.
type loss struct {
	kind  string
	count int
	first string
	why   error
}

func newUnpacker(ctx context.Context, tree *guest.Tree, dir string) (*unpacker, error) {
	attr, err := tree.Stat(dir)
	if err == nil && !attr.Mode.IsDir() {
		err = &fs.PathError{Op: "unpack", Path: dir, Err: filesys.ErrNotDir}
	}
	if err != nil {
		return nil, err
	}
	top, err := tree.Realpath(dir)
	if err != nil {
		return nil, err
	}
	u := &unpacker{
		ctx: ctx, tree: tree, editors: newEditors(tree), top: top, mounts: map[string]bool{},
		folders: map[string]placed{}, links: map[string]bool{}, delayed: map[string]*delayedMember{}, stamps: map[string]folderStamp{},
	}
	for _, p := range tree.Mountpoints() {
		u.mounts[p] = true
	}
	return u, nil
}

// add puts one member in its place.
func (u *unpacker) add(m pax.Member) error {
	rel, err := u.relative(m.Name)
	if err != nil {
		return err
	}
	isDir := m.Attr.Mode.IsDir() && !m.Hard
	if rel == "" {
		if !isDir {
			return filesys.ErrIsDir
		}
		return u.stampLater(u.top, m.Header)
	}
	above, name := path.Split(rel)
	real, err := u.resolve(u.top, above, true)
	if err != nil {
		return err
	}
	full := path.Join(real, name)
	if isDir {
		return u.folder(real, name, m.Header)
	}
	if u.mounts[full] {
		return filesys.ErrIsDir
	}
	dir, err := u.placed(real)
	if err != nil {
		return err
	}
	if m.Hard {
		return u.hardLink(dir, full, m.Header)
	}
	u.forget(full)
	if m.Attr.Mode.IsSymlink() {
		return u.symlink(dir, full, m.Header)
	}
	return u.object(dir, full, m)
}

// folder makes a folder, or fills the one that is there.
func (u *unpacker) folder(above, name string, h pax.Header) error {
	full := path.Join(above, name)
	if !u.mounts[full] {
		dir, err := u.placed(above)
		if err != nil {
			return err
		}
		old, err := existing(dir.editor, dir.node, name)
		if err != nil {
			return err
		}
		if old.Mode.IsSymlink() && !u.links[full] && u.leadsToFolder(above, name) {
			return nil // as dpkg does, and tar --keep-directory-symlink
		}
		if !old.Mode.IsDir() {
			u.forget(full)
			if err := clearName(dir.editor, dir.node, name); err != nil {
				return err
			}
			node, err := dir.editor.Mkdir(dir.node, name, newAttr(h))
			if err != nil {
				return err
			}
			u.folders[full] = placed{dir.editor, node}
			if err := u.label(u.folders[full], dir.node, full, h); err != nil {
				return err
			}
		}
	}
	return u.stampLater(full, h)
}

func (u *unpacker) stampLater(real string, h pax.Header) error {
	at, err := u.placed(real)
	u.stamps[real] = folderStamp{at, h}
	return err
}

// object makes a file, device or fifo over what has its name.
func (u *unpacker) object(dir placed, full string, m pax.Member) error {
	name := path.Base(full)
	if err := clearName(dir.editor, dir.node, name); err != nil {
		return err
	}
	if !m.Attr.Mode.IsRegular() {
		node, err := dir.editor.Mknod(dir.node, name, newAttr(m.Header), m.Attr.Major, m.Attr.Minor)
		if errors.Is(err, ondisk.ErrUnsupported) {
			u.lose("devices and fifos are left out", full, err)
			return nil
		}
		if err != nil {
			return err
		}
		return u.finishNew(placed{dir.editor, node}, dir.node, full, m.Header)
	}
	node, err := dir.editor.Create(dir.node, name, newAttr(m.Header))
	if err != nil {
		return err
	}
	if m.Content.Size() > 0 {
		if err := dir.editor.WriteFile(node, m.Content); err != nil {
			return err
		}
	}
	return u.finishNew(placed{dir.editor, node}, dir.node, full, m.Header)
}

func newAttr(h pax.Header) filesys.NewAttr {
	return filesys.NewAttr{Mode: h.Attr.Mode, UID: h.Attr.UID, GID: h.Attr.GID, Mtime: h.Attr.Mtime}
}

// finishNew is finish, and a SELinux label when the archive has none.
func (u *unpacker) finishNew(at placed, dir filesys.Node, full string, h pax.Header) error {
	if err := u.label(at, dir, full, h); err != nil {
		return err
	}
	return u.finish(at, full, h)
}

func (u *unpacker) label(at placed, dir filesys.Node, full string, h pax.Header) error {
	if h.Xattrs[selinux.Xattr] != nil {
		return nil
	}
	return u.labels.give(at, dir, full, h.Attr.Mode)
}

// finish gives an object what it starts without, or lost when it was filled.
func (u *unpacker) finish(at placed, full string, h pax.Header) error {
	set := filesys.SetAttr{UID: &h.Attr.UID, GID: &h.Attr.GID, Mtime: &h.Attr.Mtime}
	if !h.Attr.Atime.IsZero() {
		set.Atime = &h.Attr.Atime
	}
	if mode := h.Attr.Mode.Perm(); !h.Attr.Mode.IsSymlink() {
		set.Mode = &mode
	}
	err := at.editor.SetAttr(at.node, set)
	if errors.Is(err, ondisk.ErrUnsupported) {
		u.lose("owners become root", full, err)
		set.UID, set.GID = nil, nil
		err = at.editor.SetAttr(at.node, set)
	}
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(h.Xattrs)) {
		if h.Xattrs[shownAs[name]] != nil {
			continue
		}
		err := at.editor.SetXattr(at.node, name, h.Xattrs[name])
		if errors.Is(err, ondisk.ErrUnsupported) {
			u.lose("extended attributes or ACLs are left out", full, err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// shownAs are the attributes in which XFS shows an ACL a second time.
var shownAs = map[string]string{
	"trusted.SGI_ACL_FILE":    "system.posix_acl_access",
	"trusted.SGI_ACL_DEFAULT": "system.posix_acl_default",
}

// stampFolders sets what filling the folders has changed. Where a folder came
// twice, the last one counts.
func (u *unpacker) stampFolders() error {
	for _, real := range slices.Sorted(maps.Keys(u.stamps)) {
		s := u.stamps[real]
		if err := u.finish(s.at, real, s.h); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) lose(kind, full string, why error) {
	i := slices.IndexFunc(u.losses, func(l *loss) bool { return l.kind == kind })
	if i < 0 {
		i = len(u.losses)
		u.losses = append(u.losses, &loss{kind: kind, first: full, why: why})
	}
	u.losses[i].count++
}

// ids finds the owners that an ACL names, among those of the guest.
func (u *unpacker) ids(word, name string) (uint32, bool) {
	if u.owners == nil {
		u.owners = map[string]map[string]uint32{
			"user": u.readOwners("/etc/passwd"), "group": u.readOwners("/etc/group"),
		}
	}
	id, ok := u.owners[word][name]
	return id, ok
}

// readOwners reads passwd(5) or group(5): the name is first, the id third.
func (u *unpacker) readOwners(file string) map[string]uint32 {
	out := map[string]uint32{}
	text, err := guest.ReadFile(u.tree, file, ondisk.DefaultLimits.Text)
	if err != nil {
		return out
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 3 {
			continue
		}
		if id, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			out[fields[0]] = uint32(id)
		}
	}
	return out
}
