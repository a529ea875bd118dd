package edit

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/fsedit/cmdline"
	"github.com/vmconv/vmconv/pkg/fsedit/grubcfg"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// grub2 changes the kernel arguments of GRUB's menu, and of the settings from
// which the guest makes the next menu. The menu is never made anew: what is not
// a kernel's argument keeps its bytes.
type grub2 struct{}

func (grub2) Name() string { return "grub2" }

func (grub2) Applies(f *guest.Facts) bool { return f.OS.Type == "linux" }

func (e grub2) Plan(ctx context.Context, s *Staged, job Job) error {
	n := newNames(job)
	entry := ""
	for _, l := range job.Facts.Loaders {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.Kind != "grub2" {
			continue
		}
		if err := e.menu(s, job, n, l); err != nil {
			return err
		}
		if err := e.environment(s, job, n, l); err != nil {
			return err
		}
		moved, err := e.defaultEntry(s, job, l)
		if err != nil {
			return err
		}
		entry = moved
	}
	return e.defaults(s, job, n, entry)
}

func (e grub2) why(text string, required bool) Reason {
	return Reason{Edit: e.Name(), Text: text, Required: required}
}

// edited stages what change makes of the file at p, where there is one.
func (e grub2) edited(s *Staged, job Job, p string, why Reason, change func([]byte) ([]byte, error)) error {
	if !guest.IsFile(s, p) {
		return nil
	}
	text, err := guest.ReadFile(s, p, job.Limits.OrDefault().Text)
	if err != nil {
		return err
	}
	out, err := change(text)
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	return s.WriteFile(p, blockdev.FromBytes(out), 0, why)
}

// menu: every entry that loads Linux. Those that load Xen stay; they do not
// start on the target, and nobody needs them there.
func (e grub2) menu(s *Staged, job Job, n *names, l guest.Loader) error {
	return e.edited(s, job, l.Config, e.why("boot entries find the root and the console", true), func(text []byte) ([]byte, error) {
		config, err := grubcfg.Parse(text, job.Limits)
		if err != nil {
			return nil, err
		}
		text = config.RewriteKernel(func(entry *grubcfg.Entry, line *cmdline.Line) {
			root, ok := line.Last("root")
			if ok && stale(root) && !n.known(root) {
				s.Warn(e.Name(), "%s: root=%s is on none of the disks; left as it is", l.Config, root)
			}
			// Without root= it is no Linux of this system: a memory test, an installer.
			initramfs := entry == nil || len(entry.Initrds()) > 0
			arguments{names: n, needs: job.Needs, initramfs: initramfs, all: ok}.edit(line)
		})
		return text, nil
	})
}

// environment: the variable kernelopts is a command line that entries share.
func (e grub2) environment(s *Staged, job Job, n *names, l guest.Loader) error {
	if l.Env == "" {
		return nil
	}
	return e.edited(s, job, l.Env, e.why("boot entries find the root and the console", true), func(block []byte) ([]byte, error) {
		env, err := grubcfg.ParseEnv(block)
		if err != nil {
			s.Warn(e.Name(), "%s: %v; left as it is", l.Env, err)
			return block, nil
		}
		old, ok := env.Get("kernelopts")
		if !ok {
			return block, nil
		}
		line := cmdline.Parse(old)
		arguments{names: n, needs: job.Needs, initramfs: true, all: true}.edit(line)
		if line.String() == old {
			return block, nil
		}
		if err := env.Set("kernelopts", line.String()); err != nil {
			return nil, err
		}
		return env.Bytes(), nil
	})
}
