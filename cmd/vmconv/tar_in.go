package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/fsedit/pax"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func newTarIn(a *app) *cobra.Command {
	var f imageFlags
	cmd := &cobra.Command{
		Use:   "tar-in SOURCE DIR [FILE]",
		Short: "Unpack a tar archive into a stopped guest, in place",
		Long: `Unpack a tar archive, from FILE or stdin, into a folder of a stopped guest where
it lies: pax, GNU and older archives, packed with gzip, zstd, xz or bzip2 or not.
Owners by number, modes, times, links, devices, holes, extended attributes and
ACLs become what the archive says, as when root unpacks it.

Files are replaced, folders filled. A name that leads out of DIR by ".." is
refused; links of the guest are followed inside the guest, and a folder of the
archive leaves a link to a folder in place ("/lib"). Links of the archive itself
are followed only where they stay in DIR.

The image is changed in one transaction: all of the archive, or, when an error or
a full filesystem ends it, nothing. What a filesystem cannot keep (FAT has no
links and no owners) is left out and counted; the exit code is 3 then, and the
rest is in the image.`,
		Example: `  vmconv tar-in web.qcow2 / web.tar.zst
  tar -c -C site . | vmconv tar-in web.qcow2 /srv/www
  vmconv tar-out old.img /home | vmconv tar-in new.img /home
  vmconv tar-in -a root.img -a data.img /srv backup.tar`,
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := parseTarIn(&f, args)
			if err != nil {
				return err
			}
			return a.tarIn(cmd.Context(), &f, j)
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// tarInJob is a parsed command line of tar-in.
type tarInJob struct {
	disks   []string
	dir     string
	archive string
}

func parseTarIn(f *imageFlags, args []string) (tarInJob, error) {
	j := tarInJob{disks: f.disks, archive: stdinName}
	if len(j.disks) == 0 {
		if len(args) == 0 {
			return j, usagef("which image? give it first, or by -a")
		}
		j.disks, args = args[:1], args[1:]
	}
	if len(args) == 0 {
		return j, usagef("which folder? name one of the guest, for example /")
	}
	var ok bool
	if j.dir, ok = guestPath(args[0]); !ok {
		return j, usagef("%q is not a guest path: it has to begin with /", args[0])
	}
	if len(args) > 2 {
		return j, usagef("one archive at a time: %s, or %s?", args[1], args[2])
	}
	if len(args) == 2 {
		j.archive = args[1]
	}
	if f.keys.fromStdin && j.archive == stdinName {
		return j, usagef("--keys-from-stdin: stdin is the archive already; give a key by --key")
	}
	return j, nil
}

func (a *app) tarIn(ctx context.Context, f *imageFlags, j tarInJob) error {
	m, err := a.openMachine(ctx, f, j.disks, readWrite)
	if err != nil {
		return err
	}
	defer m.Close()
	u, err := newUnpacker(ctx, m.Tree, j.dir)
	if err != nil {
		return err
	}
	u.notice = func(text string) { a.ui.warn(j.dir, "tar", text) }
	u.labels = newLabels(m.Tree, func(text string) { a.ui.warn(j.dir, "selinux", text) })
	defer u.editors.abort()
	archive, err := a.openArchive(ctx, j.archive)
	if err != nil {
		return err
	}
	defer archive.Close()
	if err := u.unpack(archive, func(done int64) {
		a.ui.observer().Tell(ondisk.Event{Phase: "unpacking", Done: done, Total: archive.Size()})
	}); err != nil {
		return err
	}
	if err := u.labels.finish(&u.editors); err != nil {
		return err
	}
	if err := u.editors.commit(ctx); err != nil {
		return err
	}
	if err := m.commit(ctx, a.ui.observer()); err != nil {
		return err
	}
	return a.tellLosses(j.dir, u.losses)
}

// openArchive opens a file, or keeps what comes from a pipe: contents are read
// when the guest is written, which is after the last name was read.
func (a *app) openArchive(ctx context.Context, path string) (imagefmt.Source, error) {
	src, _, err := a.openSource(ctx, &imageFlags{}, path)
	return src, err
}

// unpack puts every member in its place, and then finishes what has to wait.
func (u *unpacker) unpack(archive blockdev.Device, tell func(done int64)) error {
	done := int64(0)
	for m, err := range pax.Members(u.ctx, archive, pax.ReadOptions{IDs: u.ids}) {
		if err == nil {
			err = u.add(m)
		}
		if err != nil && m.Name != "" {
			err = fmt.Errorf("member %q: %w", m.Name, err)
		}
		if err != nil {
			return err
		}
		if m.Content != nil {
			done += m.Content.Size()
			tell(done)
		}
	}
	if err := u.makeLinks(); err != nil {
		return err
	}
	return u.stampFolders()
}

// tellLosses reports what the guest's filesystem could not keep.
func (a *app) tellLosses(dir string, losses []*loss) error {
	if len(losses) == 0 {
		return nil
	}
	for _, l := range losses {
		a.ui.warn(dir, "tar", fmt.Sprintf("%d %s, the first of %q: %v", l.count, l.kind, l.first, l.why))
	}
	return ondisk.Because(ondisk.ErrUnsupported, "unpacked, but the filesystem cannot keep all that the archive holds")
}
