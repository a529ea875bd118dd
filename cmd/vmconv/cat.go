package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
)

func newCat(a *app) *cobra.Command {
	var image imageFlags
	var output string
	cmd := &cobra.Command{
		Use:   "cat SOURCE PATH...",
		Short: "Print files of a stopped guest",
		Long: `Print files of a stopped guest, byte for byte, one after the other.

On a terminal, bytes that a terminal would obey are refused: they come from the
guest. Redirect the output, or use -o, to get them.`,
		Example: `  vmconv cat web.qcow2 /etc/fstab
  vmconv cat -a system.img -a data.img /srv/www/index.html
  vmconv cat web.qcow2 -m /dev/sda2 /grub/grub.cfg
  vmconv cat safe.qcow2 --key sda2:file:passphrase.txt /etc/fstab
  VMCONV_IMAGE=web.qcow2 vmconv cat /etc/passwd`,
		RunE: func(cmd *cobra.Command, args []string) error {
			disks, paths, err := a.split(&image, args, true)
			if err != nil {
				return err
			}
			if len(paths) == 0 {
				return usagef("which file? name at least one path of the guest")
			}
			m, err := a.openMachine(cmd.Context(), &image, disks, readOnly)
			if err != nil {
				return err
			}
			defer m.Close()
			if output == "" {
				return catFiles(cmd.Context(), a.stdout, m.Tree, paths)
			}
			f, err := osfile.Create(output, osfile.CreateOptions{Mode: 0o600})
			if err != nil {
				return err
			}
			defer f.Abort() // does nothing after Commit
			if err := catFiles(cmd.Context(), io.NewOffsetWriter(f, 0), m.Tree, paths); err != nil {
				return err
			}
			return f.Commit(cmd.Context())
		},
	}
	image.register(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to a new `FILE` instead of stdout")
	return cmd
}

func catFiles(ctx context.Context, out io.Writer, tree guest.View, paths []string) error {
	guard := isTerminal(out)
	for _, path := range paths {
		dev, err := tree.Open(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if guard {
			if err := plainText(dev, path); err != nil {
				return err
			}
		}
		if _, err := io.Copy(out, until{ctx, blockdev.NewReader(dev)}); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// plainText refuses a file that would speak to the terminal.
func plainText(dev blockdev.Device, path string) error {
	buf := make([]byte, 64<<10)
	r := blockdev.NewReader(dev)
	for {
		n, err := r.Read(buf)
		if i := bytes.IndexFunc(buf[:n], func(c rune) bool {
			return c < ' ' && c != '\n' && c != '\t' && c != '\r' && c != '\f' || c == 0x7f
		}); i >= 0 {
			return usagef("%s holds control characters; redirect the output or use -o to get them", path)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}

// until is a reader that ends when the context does: whoever copies from it can
// be stopped.
type until struct {
	ctx   context.Context
	inner io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.inner.Read(p)
}
