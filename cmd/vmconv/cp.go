package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

type cpFlags struct {
	image     imageFlags
	recursive bool
}

func newCp(a *app) *cobra.Command {
	var f cpFlags
	cmd := &cobra.Command{
		Use:   "cp IMAGE:/PATH... HOST | HOST... IMAGE:/PATH",
		Short: "Copy files out of a stopped guest, or into it",
		Long: `Copy files out of a stopped guest, or into it. Modes, symbolic and hard links,
holes and times are kept; owners too, where the user may set them. What is copied
out never lands outside of the destination, whatever links the guest holds.

"-" on the host's side is the bytes of one file on stdin or stdout. Copying in
changes the image in one transaction.`,
		Example: `  vmconv cp web.qcow2:/etc/fstab .
  vmconv cp -r web.qcow2:/var/log logs
  vmconv cp -r site/ web.qcow2:/srv/www
  vmconv cp -a root.img -a data.img :/etc/passwd -
  tar c conf | vmconv cp - web.qcow2:/root/conf.tar`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := parseCopy(&f, args)
			if err != nil {
				return err
			}
			if c.into {
				return a.copyIn(cmd.Context(), &f, c)
			}
			return a.copyOut(cmd.Context(), &f, c)
		},
	}
	f.image.register(cmd.Flags())
	cmd.Flags().BoolVarP(&f.recursive, "recursive", "r", false, "copy folders with all that is in them")
	return cmd
}

// copyJob is a parsed command line of cp: everything on one side goes to the
// last argument on the other.
type copyJob struct {
	disks   []string
	into    bool // host to guest
	sources []string
	to      string
}

func parseCopy(f *cpFlags, args []string) (copyJob, error) {
	if len(args) < 2 {
		return copyJob{}, usagef("cp takes at least one source and a destination")
	}
	c := copyJob{disks: f.image.disks}
	var guests []bool
	var paths []string
	for _, arg := range args {
		image, p, isGuest := splitImagePath(arg)
		switch {
		case !isGuest:
			p = arg
		case len(f.image.disks) > 0 && image != "":
			return c, usagef("%q names an image, and -a does too; with -a write :%s", arg, p)
		case len(f.image.disks) == 0 && image == "":
			return c, usagef("%q: of which image? IMAGE:%s, or -a IMAGE", arg, p)
		case len(c.disks) == 0:
			c.disks = []string{image}
		case len(f.image.disks) == 0 && c.disks[0] != image:
			return c, usagef("one image at a time: %s or %s", c.disks[0], image)
		}
		guests, paths = append(guests, isGuest), append(paths, p)
	}
	if f.image.keys.fromStdin && slices.Contains(args[:len(args)-1], "-") {
		return c, usagef("--keys-from-stdin: stdin is a file already; give a key by --key")
	}
	last := len(args) - 1
	c.into, c.sources, c.to = guests[last], paths[:last], paths[last]
	for i := range last {
		if guests[i] == c.into {
			return c, usagef("cp goes between the host and a guest: one side is IMAGE:/PATH, the other is not")
		}
	}
	return c, nil
}

// splitImagePath splits IMAGE:/PATH; the image is empty in the form of -a.
func splitImagePath(arg string) (image, p string, ok bool) {
	i := strings.Index(arg, ":/")
	if i < 0 {
		return "", "", false
	}
	return arg[:i], arg[i+1:], true
}

func (a *app) copyOut(ctx context.Context, f *cpFlags, c copyJob) error {
	m, err := a.openMachine(ctx, &f.image, c.disks, readOnly)
	if err != nil {
		return err
	}
	defer m.Close()
	if c.to == "-" {
		if len(c.sources) != 1 {
			return usagef("only one file can go to stdout")
		}
		dev, err := m.Tree.Open(c.sources[0])
		if err != nil {
			return fmt.Errorf("%s: %w", c.sources[0], err)
		}
		_, err = io.Copy(a.stdout, until{ctx, blockdev.NewReader(dev)})
		return err
	}
	info, err := os.Stat(c.to)
	isDir := err == nil && info.IsDir()
	if len(c.sources) > 1 && !isDir {
		return usagef("%s is not a folder, and several files go there", c.to)
	}
	for _, src := range c.sources {
		dir, name := path.Split(strings.TrimSuffix(c.to, "/"))
		if isDir {
			dir, name = c.to, path.Base(src)
		}
		if name == "/" || name == "." || name == ".." {
			dir, name = c.to, "."
		}
		if dir == "" {
			dir = "."
		}
		if err := a.takeOut(ctx, m, f.recursive, src, dir, name); err != nil {
			return err
		}
	}
	return nil
}
