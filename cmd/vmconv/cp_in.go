package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
)

// copyIn copies host files into the guest, in one transaction.
func (a *app) copyIn(ctx context.Context, f *cpFlags, c copyJob) error {
	m, err := a.openMachine(ctx, &f.image, c.disks, readWrite)
	if err != nil {
		return err
	}
	defer m.Close()
	in := inward{ctx: ctx, tree: m.Tree, editors: newEditors(m.Tree), links: map[[2]uint64]placed{}}
	in.labels = newLabels(m.Tree, func(text string) { a.ui.warn(c.to, "selinux", text) })
	in.ownerless = sync.OnceFunc(func() {
		a.ui.warn(c.to, "owner", "the filesystem keeps no owners: all files are root's there")
	})
	defer in.close()
	to, isDir, err := in.destination(c)
	if err != nil {
		return err
	}
	for _, src := range c.sources {
		dst := to
		if isDir && src != "-" {
			dst = path.Join(to, filepath.Base(filepath.Clean(src)))
		}
		if src == "-" {
			err = in.stdin(a.stdin, dst, isDir)
		} else {
			err = in.top(src, dst, f.recursive)
		}
		if err != nil {
			return err
		}
	}
	if err := in.labels.finish(&in.editors); err != nil {
		return err
	}
	if err := in.editors.commit(ctx); err != nil {
		return err
	}
	return m.commit(ctx, a.ui.observer())
}

// inward copies host files into a guest's filesystems, each by its own editor.
type inward struct {
	ctx       context.Context
	tree      *guest.Tree
	editors   editors
	labels    labels
	host      osfile.Contents
	spills    []*osfile.Spill      // of stdin
	links     map[[2]uint64]placed // host files with several names, by device and inode
	ownerless func()               // warns, once, that owners are lost
}

// destination resolves the last argument: the folder that the files go into, or
// the file that the one source becomes.
func (in *inward) destination(c copyJob) (to string, isDir bool, err error) {
	if to, err = in.tree.Realpath(c.to); err != nil {
		return "", false, fmt.Errorf("%s: %w", c.to, err)
	}
	isDir = guest.IsDir(in.tree, to)
	if !isDir && (len(c.sources) > 1 || strings.HasSuffix(c.to, "/")) {
		return "", false, fmt.Errorf("%s: %w", c.to, filesys.ErrNotDir)
	}
	return to, isDir, nil
}

// at is the editor and the directory node that a guest path lies in.
func (in *inward) at(guestPath string) (filesys.Editor, filesys.Node, string, error) {
	ed, place, err := in.editors.of(guestPath)
	if err != nil {
		return nil, 0, "", err
	}
	dir, base := path.Split(place.Path)
	node := ed.Root()
	for name := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if name == "" {
			continue
		}
		if node, err = ed.Lookup(node, name); err != nil {
			return nil, 0, "", fmt.Errorf("%s: %w", guestPath, err)
		}
	}
	return ed, node, base, nil
}

// top copies one source from the command line; a link named there is followed.
func (in *inward) top(src, dst string, recursive bool) error {
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	if info.IsDir() && !recursive {
		return usagef("%s is a folder; copy it with -r", src)
	}
	return in.copy(src, dst, info)
}

func (in *inward) copy(src, dst string, info fs.FileInfo) error {
	if err := in.ctx.Err(); err != nil {
		return err
	}
	ed, dir, name, err := in.at(dst)
	if err != nil {
		return err
	}
	st, _ := osfile.StatOf(info)
	id := [2]uint64{st.Dev, st.Ino}
	if first, ok := in.links[id]; ok && first.editor == ed && st.Nlink > 1 && !info.IsDir() {
		if err := clearName(ed, dir, name); err != nil {
			return fmt.Errorf("%s: %w", dst, err)
		}
		return ed.Link(first.node, dir, name)
	}
	attr := filesys.NewAttr{Mode: filesys.ModeOf(info.Mode()), UID: st.UID, GID: st.GID, Mtime: info.ModTime()}
	node, err := in.object(ed, dir, dst, src, info, attr, st)
	if err != nil {
		return fmt.Errorf("%s: %w", dst, err)
	}
	if st.Nlink > 1 && !info.IsDir() {
		in.links[id] = placed{ed, node}
	}
	if info.IsDir() {
		if err := in.children(src, dst); err != nil {
			return err
		}
	}
	return in.stamp(ed, node, info, st)
}

// object makes the file, link or folder itself, over what has its name. What is
// there before keeps its SELinux label.
func (in *inward) object(ed filesys.Editor, dir filesys.Node, dst, src string, info fs.FileInfo, attr filesys.NewAttr, st osfile.Stat) (filesys.Node, error) {
	name := path.Base(dst)
	old, err := existing(ed, dir, name)
	if err != nil {
		return 0, err
	}
	switch {
	case info.IsDir() && old.Mode.IsDir():
		return old.Node, nil
	case info.Mode().IsRegular() && old.Mode.IsRegular():
		return old.Node, ed.WriteFile(old.Node, in.host.Device(src, info.Size()))
	case old.Mode.IsDir():
		return 0, filesys.ErrIsDir
	case info.IsDir() && old.Mode != 0:
		return 0, filesys.ErrNotDir
	}
	if err := clearName(ed, dir, name); err != nil {
		return 0, err
	}
	node, err := in.create(ed, dir, name, src, info, attr, st)
	if err != nil {
		return 0, err
	}
	return node, in.labels.give(placed{ed, node}, dir, dst, attr.Mode)
}

func (in *inward) create(ed filesys.Editor, dir filesys.Node, name, src string, info fs.FileInfo, attr filesys.NewAttr, st osfile.Stat) (filesys.Node, error) {
	switch info.Mode().Type() {
	case fs.ModeDir:
		return ed.Mkdir(dir, name, attr)
	case fs.ModeSymlink:
		target, err := os.Readlink(src)
		if err != nil {
			return 0, err
		}
		return ed.Symlink(dir, name, target, attr)
	case 0:
		node, err := ed.Create(dir, name, attr)
		if err != nil {
			return 0, err
		}
		return node, ed.WriteFile(node, in.host.Device(src, info.Size()))
	}
	return ed.Mknod(dir, name, attr, st.Major, st.Minor)
}

func (in *inward) children(src, dst string) error {
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if err := in.copy(filepath.Join(src, e.Name()), path.Join(dst, e.Name()), info); err != nil {
			return err
		}
	}
	return nil
}

// stamp sets what the object has on the host, last, since filling it changed it.
func (in *inward) stamp(ed filesys.Editor, node filesys.Node, info fs.FileInfo, st osfile.Stat) error {
	mode, mtime, atime := filesys.ModeOf(info.Mode()).Perm(), info.ModTime(), st.Atime
	set := filesys.SetAttr{UID: &st.UID, GID: &st.GID, Mtime: &mtime}
	if !atime.IsZero() {
		set.Atime = &atime
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		set.Mode = &mode
	}
	err := ed.SetAttr(node, set)
	if errors.Is(err, ondisk.ErrUnsupported) { // FAT
		in.ownerless()
		set.UID, set.GID = nil, nil
		err = ed.SetAttr(node, set)
	}
	return err
}

// stdin makes a file of what is read. A temporary file keeps it: nobody knows
// before how much that is.
func (in *inward) stdin(r io.Reader, dst string, isDir bool) error {
	if isDir {
		return usagef("%s is a folder: name the file that stdin becomes", dst)
	}
	spill, err := osfile.NewSpill("")
	if err != nil {
		return err
	}
	in.spills = append(in.spills, spill)
	size, err := io.Copy(spill, until{in.ctx, r})
	if err != nil {
		return fmt.Errorf("keeping stdin: %w", err)
	}
	ed, dir, name, err := in.at(dst)
	if err != nil {
		return err
	}
	node, err := ed.Lookup(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		if node, err = ed.Create(dir, name, filesys.NewAttr{Mode: 0o644}); err == nil {
			err = in.labels.give(placed{ed, node}, dir, dst, filesys.Regular)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dst, err)
	}
	return ed.WriteFile(node, io.NewSectionReader(spill, 0, size))
}

func (in *inward) close() {
	in.editors.abort()
	in.host.Close()
	for _, f := range in.spills {
		f.Close()
	}
}
