package edit

import (
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/cmdline"
	"github.com/vmconv/vmconv/pkg/fsedit/grubcfg"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
)

const (
	grubDefaults    = "/etc/default/grub"
	grubDefaultsDir = "/etc/default/grub.d"
)

// defaults changes what grub-mkconfig reads (the GRUB manual, "Simple
// configuration handling"), so that the guest's next menu agrees with ours.
func (e grub2) defaults(s *Staged, job Job, n *names, entry string) error {
	files := []string{grubDefaults}
	for _, name := range fileNames(s, grubDefaultsDir) {
		if strings.HasSuffix(name, ".cfg") {
			files = append(files, join(grubDefaultsDir, name))
		}
	}
	for _, p := range files {
		err := e.edited(s, job, p, e.why("the next menu that the system makes agrees", false), func(text []byte) ([]byte, error) {
			d, err := grubcfg.ParseDefaults(text, job.Limits)
			if err != nil {
				return nil, err
			}
			if err := e.settings(job, n, d, p == grubDefaults); err != nil {
				return nil, err
			}
			if _, ok := d.Get("GRUB_DEFAULT"); ok && entry != "" {
				err = d.Rewrite("GRUB_DEFAULT", func(v grubcfg.Value) grubcfg.Value {
					if v.Text == "saved" {
						return v
					}
					return grubcfg.Value{Text: entry}
				})
			}
			return d.Bytes(), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// kernelSettings hold kernel arguments.
var kernelSettings = []string{"GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT", "GRUB_CMDLINE_LINUX_RECOVERY"}

func (e grub2) settings(job Job, n *names, d *grubcfg.Defaults, first bool) error {
	for _, key := range kernelSettings {
		all := first && key == kernelSettings[0]
		err := d.Rewrite(key, func(v grubcfg.Value) grubcfg.Value {
			line := cmdline.Parse(v.Text)
			arguments{names: n, needs: job.Needs, initramfs: true, all: all}.edit(line)
			v.Text = line.String()
			return v
		})
		if err != nil {
			return err
		}
	}
	if v, _ := d.Get("GRUB_DISABLE_LINUX_UUID"); v.Text == "true" && e.rootByUUID(job, n) {
		// Else the next menu names the device again, and the one after a change of bus fails.
		if _, err := d.CommentOut("GRUB_DISABLE_LINUX_UUID"); err != nil {
			return err
		}
	}
	return d.Rewrite("GRUB_DEVICE", func(v grubcfg.Value) grubcfg.Value {
		if job.Needs.DiskName != nil && !v.Expands && stale(v.Text) && n.known(v.Text) {
			v.Text = n.path(v.Text)
		}
		return v
	})
}

// rootByUUID: the root has a UUID of its own, and every kernel an initramfs that
// understands it.
func (e grub2) rootByUUID(job Job, n *names) bool {
	bare := func(k guest.Kernel) bool { return k.Initramfs == "" }
	f := n.volume(job.Facts.Root)
	return f != nil && n.unique(f) && !slices.ContainsFunc(job.Facts.Kernels, bare)
}
