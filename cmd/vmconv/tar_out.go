package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/pax"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
)

type tarOutFlags struct {
	image    imageFlags
	output   string
	oneFS    bool
	allTimes bool
}

func newTarOut(a *app) *cobra.Command {
	var f tarOutFlags
	cmd := &cobra.Command{
		Use:   "tar-out SOURCE DIR",
		Short: "Write a folder of a stopped guest as a tar archive",
		Long: `Write a folder of a stopped guest, with all that is in it, as a tar archive to
stdout. Nothing is lost on the way, and nobody has to be root: owners by number,
modes, times to the nanosecond, symbolic and hard links, devices, holes, extended
attributes, ACLs and labels are in the archive (POSIX "pax" format). Sockets are
left out, as tar does. The same image gives the same bytes.

To unpack all of it, as root:

  tar -xpf ARCHIVE --numeric-owner --xattrs --xattrs-include='*' --acls`,
		Example: `  vmconv tar-out web.qcow2 / -o web.tar
  vmconv tar-out web.qcow2 /etc | tar -t
  vmconv tar-out web.qcow2 /srv --one-file-system | zstd > srv.tar.zst
  vmconv tar-out -a root.img -a data.img / -o all.tar`,
		RunE: func(cmd *cobra.Command, args []string) error {
			disks, paths, err := a.split(&f.image, args, true)
			if err != nil {
				return err
			}
			if len(paths) != 1 {
				return usagef("which folder? name one of the guest, for example /")
			}
			return a.tarOut(cmd.Context(), &f, disks, paths[0])
		},
	}
	f.image.register(cmd.Flags())
	set := cmd.Flags()
	set.StringVarP(&f.output, "output", "o", "", "write to a new `FILE` instead of stdout")
	set.BoolVar(&f.oneFS, "one-file-system", false, "stay out of other filesystems that are mounted below DIR")
	set.BoolVar(&f.allTimes, "all-times", false, "store the times of last access and of last change too")
	return cmd
}

func (a *app) tarOut(ctx context.Context, f *tarOutFlags, disks []string, dir string) error {
	if f.output == "" && isTerminal(a.stdout) {
		return usagef("an archive is nothing for a terminal: redirect it, or use -o")
	}
	m, err := a.openMachine(ctx, &f.image, disks, readOnly)
	if err != nil {
		return err
	}
	defer m.Close()
	if f.output == "" {
		return a.writeTree(ctx, f, a.stdout, m.Tree, dir)
	}
	out, err := osfile.Create(f.output, osfile.CreateOptions{Mode: 0o600, Avoid: m.sources()})
	if err != nil {
		return err
	}
	defer out.Abort() // does nothing after Commit
	if err := a.writeTree(ctx, f, io.NewOffsetWriter(out, 0), m.Tree, dir); err != nil {
		return err
	}
	return out.Commit(ctx)
}

// writeTree archives the folder. Reading the guest and writing overlap.
func (a *app) writeTree(ctx context.Context, f *tarOutFlags, out io.Writer, tree *guest.Tree, dir string) error {
	top, err := tree.Realpath(dir)
	if err != nil {
		return err
	}
	behind := newWriteBehind(out)
	p := packer{
		ctx: ctx, top: top, archive: pax.NewWriter(behind, pax.WriteOptions{AllTimes: f.allTimes}), links: map[object]*linked{},
		warn: func(path, text string) { a.ui.warn(path, "tar", text) },
		tell: func(n int64) { a.ui.observer().Tell(ondisk.Event{Phase: "archiving", Done: n}) },
	}
	if f.oneFS {
		place, err := tree.Place(top)
		if err != nil {
			return err
		}
		p.only = place.Mount
	}
	err = tree.Visit(ctx, top, p.add)
	if err == nil {
		err = p.archive.Close()
	}
	// What went wrong in writing comes first: the rest followed from it.
	if writeErr := behind.Close(); writeErr != nil {
		return writeErr
	}
	return err
}

// packer turns the objects of a tree into members.
type packer struct {
	ctx     context.Context
	top     string // the folder whose content is archived
	only    string // the mount that is not left; "" for all
	archive *pax.Writer
	links   map[object]*linked
	done    int64 // bytes of content
	warn    func(path, text string)
	tell    func(n int64)
}

// linked is a file with several names, the first of which is in the archive.
type linked struct {
	name string
	left uint32 // names that may still come
}

func (p *packer) add(o guest.Object) error {
	if err := p.member(o); err != nil {
		return fmt.Errorf("%s: %w", o.Path, err)
	}
	if p.only != "" && o.Mount != p.only && o.Attr.Mode.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func (p *packer) member(o guest.Object) error {
	h := pax.Header{Name: p.name(o), Attr: o.Attr}
	if o.Attr.Mode.Type() == filesys.Socket {
		p.warn(o.Path, "a socket is left out: a program makes its own when it starts")
		return nil
	}
	if o.FS == nil {
		return p.archive.Write(p.ctx, h, nil)
	}
	if first := p.linkTo(o, h.Name); first != "" {
		h.Hard, h.Link = true, first
		return p.archive.Write(p.ctx, h, nil)
	}
	var err error
	if h.Xattrs, err = o.FS.Xattrs(o.Attr.Node); err != nil {
		return err
	}
	var content blockdev.Device
	switch o.Attr.Mode.Type() {
	case filesys.Symlink:
		h.Link, err = o.FS.Readlink(o.Attr.Node)
	case filesys.Regular:
		content, err = o.FS.Open(o.Attr.Node)
		p.done += o.Attr.Size
		p.tell(p.done)
	}
	if err != nil {
		return err
	}
	return p.archive.Write(p.ctx, h, content)
}

// name is the object's in the archive, as "tar -c ." in the folder gives it.
func (p *packer) name(o guest.Object) string {
	name := "./" + strings.TrimPrefix(strings.TrimPrefix(o.Path, p.top), "/")
	if o.Attr.Mode.IsDir() && name != "./" {
		name += "/"
	}
	return name
}

// linkTo is the member that this object is another name of, or "".
func (p *packer) linkTo(o guest.Object, name string) string {
	if o.Attr.Nlink < 2 || o.Attr.Mode.IsDir() {
		return ""
	}
	id := object{o.Mount, o.Attr.Node}
	first := p.links[id]
	if first == nil {
		p.links[id] = &linked{name, o.Attr.Nlink - 1}
		return ""
	}
	if first.left--; first.left == 0 {
		delete(p.links, id)
	}
	return first.name
}
