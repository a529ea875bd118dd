package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/convert/machine"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// checkedImage is one image of check --json.
type checkedImage struct {
	File        string   `json:"file"`
	Format      string   `json:"format"`
	Checked     bool     `json:"checked"` // false: the format has nothing to check
	Corruptions []string `json:"corruptions,omitempty"`
	Leaks       []string `json:"leaks,omitempty"`
	Corrupt     int      `json:"corrupt"`
	Leaked      int      `json:"leaked"`
	Allocated   int64    `json:"allocated_blocks,omitempty"`
	Blocks      int64    `json:"blocks,omitempty"`
	End         int64    `json:"end,omitempty"`
}

func newCheck(a *app) *cobra.Command {
	var f imageFlags
	var asJSON, guests bool
	var verify string
	cmd := &cobra.Command{
		Use:   "check IMAGE...",
		Short: "Check the tables of disk images, and the filesystems in them",
		Long: `Check the tables of disk images: that what they point at exists, belongs to one
block only and is counted right; of a machine, all of its disks. Nothing is repaired or written. Exit code 0
means that all is well, 1 that room is lost but no data, 4 that an image is
corrupt.

With --filesystems the filesystems in the images are checked instead: all folders,
inodes, attributes, links and extent maps are read and their checksums verified,
links are counted, and the free space is compared with the counters. With
--verify=fsck their own checkers judge too (e2fsck -fn, xfs_repair -n, fsck.fat -n),
on a temporary copy; exit code 1 when one of those alone finds a fault.`,
		Example: `  vmconv check disk.qcow2
  vmconv check --filesystems web.qcow2
  vmconv check --verify=fsck web.qcow2
  vmconv check --json *.vhdx`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = asJSON
			if len(args) == 0 {
				return usagef("which image? vmconv check IMAGE...")
			}
			if verify != "" && verify != "fsck" {
				return usagef("--verify takes fsck, not %q", verify)
			}
			if guests || verify != "" {
				return a.checkGuests(cmd.Context(), &f, args, verify != "", asJSON)
			}
			var images []checkedImage
			for _, path := range args {
				found, err := a.check(cmd.Context(), &f, path)
				if err != nil {
					return err
				}
				images = append(images, found...)
			}
			return a.printChecked(images, asJSON)
		},
	}
	cmd.Flags().StringVarP(&f.format, "format", "f", "", "input `FORMAT`; without it the image is probed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&guests, "filesystems", false, "check the filesystems in the images")
	cmd.Flags().StringVar(&verify, "verify", "", "have `fsck` judge the filesystems too, by their own checkers")
	f.keys.register(cmd.Flags())
	f.registerMachine(cmd.Flags())
	f.registerExternal(cmd.Flags())
	return cmd
}

// check checks a disk image, or all disks of a machine.
func (a *app) check(ctx context.Context, f *imageFlags, path string) ([]checkedImage, error) {
	src, _, err := a.openSource(ctx, f, path)
	if err != nil {
		return nil, err
	}
	kind, err := machine.KindOf(ctx, src, a.machineOptions(f))
	if err == nil && kind != machine.Image {
		return a.checkMachine(ctx, f, src, path)
	}
	defer src.Close()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	format, err := a.registry.Choose(src, f.format)
	if err != nil {
		return nil, err
	}
	c, err := a.checkImage(ctx, format, src, path)
	return []checkedImage{c}, err
}

// checkMachine owns src.
func (a *app) checkMachine(ctx context.Context, f *imageFlags, src imagefmt.Source, path string) ([]checkedImage, error) {
	m, err := machine.Open(ctx, src, a.machineOptions(f))
	if err != nil {
		src.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer m.Close()
	var out []checkedImage
	for _, d := range m.Disks {
		c := checkedImage{File: d.Name, Format: d.Image.Info().Format}
		if d.File != nil {
			format, err := a.registry.Lookup(c.Format)
			if err != nil {
				return nil, err
			}
			if c, err = a.checkImage(ctx, format, d.File, d.Name); err != nil {
				return nil, err
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func (a *app) checkImage(ctx context.Context, format imagefmt.Format, src imagefmt.Source, name string) (checkedImage, error) {
	c := checkedImage{File: name, Format: format.Name()}
	checker, ok := format.(imagefmt.Checker)
	if !ok {
		return c, nil
	}
	r, err := checker.Check(ctx, src, imagefmt.OpenOptions{}, a.ui.observer())
	if err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	c.Checked, c.Corruptions, c.Leaks, c.Corrupt, c.Leaked = true, r.Corruptions, r.Leaks, r.Corrupt, r.Leaked
	c.Allocated, c.Blocks, c.End = r.Allocated, r.Blocks, r.End
	return c, nil
}

// printChecked prints the findings, and answers with the worst of them.
func (a *app) printChecked(images []checkedImage, asJSON bool) error {
	a.ui.progressDone()
	if asJSON {
		err := a.printJSON(struct {
			Schema string         `json:"schema"`
			Images []checkedImage `json:"images"`
		}{"vmconv.check/1", images})
		if err != nil {
			return err
		}
	}
	var corrupt, leaked int
	for _, c := range images {
		if !asJSON {
			renderChecked(a.stdout, c)
		}
		corrupt, leaked = corrupt+c.Corrupt, leaked+c.Leaked
	}
	switch {
	case corrupt > 0:
		return ondisk.Because(ondisk.ErrCorrupt, "%d errors were found; convert copies what can be read to a new image", corrupt)
	case leaked > 0:
		return errNo
	}
	return nil
}

func renderChecked(w io.Writer, c checkedImage) {
	for _, text := range c.Corruptions {
		fmt.Fprintf(w, "%s: error: %s\n", c.File, printable(text))
	}
	for _, text := range c.Leaks {
		fmt.Fprintf(w, "%s: leak: %s\n", c.File, printable(text))
	}
	switch {
	case !c.Checked:
		fmt.Fprintf(w, "%s: %s has no tables to check\n", c.File, c.Format)
	case c.Corrupt+c.Leaked > 0:
		fmt.Fprintf(w, "%s: %d errors, %d leaks\n", c.File, c.Corrupt, c.Leaked)
	default:
		fmt.Fprintf(w, "%s: no errors; %d of %d blocks are stored\n", c.File, c.Allocated, c.Blocks)
	}
}
