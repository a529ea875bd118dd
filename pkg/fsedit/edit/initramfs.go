package edit

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/kmod"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// initramfsEdit gives every kernel's initramfs the drivers of the target, by a
// segment appended to it: the kernel unpacks the segments of the file one after
// the other (Documentation/driver-api/early-userspace/buffer-format.rst). What
// the guest's own generator made stays as it is.
type initramfsEdit struct{}

func (initramfsEdit) Name() string { return "initramfs" }

func (initramfsEdit) Applies(f *guest.Facts) bool {
	return f.OS.Type == "linux" && len(f.Kernels) > 0
}

// Plan fails when the kernel that starts by itself cannot be given what it
// needs, or no kernel can.
func (e initramfsEdit) Plan(ctx context.Context, s *Staged, job Job) error {
	if len(job.Needs.Drivers) == 0 {
		return nil
	}
	ready := 0
	for _, k := range job.Facts.Kernels {
		if err := ctx.Err(); err != nil {
			return err
		}
		if k.XenOnly {
			s.Warn(e.Name(), "kernel %s runs under Xen only and will not start on the target", k.Version)
			continue
		}
		err := e.kernel(s, job, k)
		switch {
		case err == nil:
			ready++
		case k.Default:
			return fmt.Errorf("kernel %s: %w", k.Version, err)
		default:
			s.Warn(e.Name(), "kernel %s will not start on the target: %v", k.Version, err)
		}
	}
	if ready == 0 {
		return ondisk.Because(ondisk.ErrUnsupported, "no kernel of this system can start on the target; install %s and try again",
			kernelPackage(job.Facts.OS))
	}
	return nil
}

// kernelPackage is the package with a distribution's usual kernel.
func kernelPackage(os guest.OS) string {
	arch := map[string]string{"x86_64": "amd64", "aarch64": "arm64", "i386": "686-pae", "i686": "686-pae"}[os.Arch]
	switch {
	case os.Distro == "ubuntu":
		return "linux-image-generic"
	case os.Family == "debian" && arch != "":
		return "linux-image-" + arch
	case os.Family == "rhel":
		return "the package kernel"
	case os.Family == "suse":
		return "the package kernel-default"
	}
	return "a kernel that runs outside of Xen"
}

// kernel prepares one initramfs.
func (e initramfsEdit) kernel(s *Staged, job Job, k guest.Kernel) error {
	root, err := diskModules(s, k, job.Limits)
	if err != nil {
		return err
	}
	names, err := e.modules(s, job, k, root)
	if err != nil {
		return err
	}
	if k.Initramfs == "" {
		if len(names) == 0 {
			return nil
		}
		return ondisk.Because(ondisk.ErrUnsupported, "it has no initramfs, and %s is a module", names[0])
	}
	seg, err := openSegment(s, job, k, root)
	if err != nil {
		return err
	}
	if err := seg.drivers(names); err != nil {
		return err
	}
	if err := seg.configuration(); err != nil {
		return err
	}
	return seg.stage(e.Name())
}

// modules are the wanted drivers that the kernel has as modules on the disk. One
// that is only in its initramfs is there already.
func (e initramfsEdit) modules(s *Staged, job Job, k guest.Kernel, root *kmod.Tree) ([]string, error) {
	var names []string
	for _, d := range job.Needs.Drivers {
		if root.Builtin(d.Module) {
			continue
		}
		if len(root.Resolve(d.Module)) > 0 {
			names = append(names, d.Module)
			continue
		}
		have, err := LoadDrivers(s, k, job.Limits)
		switch {
		case err != nil:
			return nil, err
		case have.Find(d.Module) != "":
		case d.Required:
			return nil, ondisk.Because(ondisk.ErrUnsupported, "it lacks the driver %s (%s)", d.Module, d.Why)
		default:
			s.Warn(e.Name(), "kernel %s lacks the driver %s (%s)", k.Version, d.Module, d.Why)
		}
	}
	return names, nil
}
