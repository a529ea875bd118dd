package edit

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/efi"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// uefi lets firmware find a boot loader that has never seen the guest. Boot entries
// are in the memory of the old machine; without them firmware starts one program of
// a fixed name (UEFI specification, 3.5.1.1), which many distributions do not
// install. It becomes a copy of the vendor's loader, as grub-install --removable
// and shim's packages make it.
type uefi struct{}

func (uefi) Name() string { return "uefi" }

func (uefi) Applies(f *guest.Facts) bool {
	return f.OS.Type == "linux" && f.Firmware.UEFI && len(f.Firmware.ESPs) > 0
}

func (e uefi) Plan(ctx context.Context, s *Staged, job Job) error {
	arch := job.Facts.Arch()
	if !job.UEFI() || efi.FallbackName(arch) == "" {
		return nil
	}
	for i := range job.Facts.Firmware.ESPs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.partition(s, job, &job.Facts.Firmware.ESPs[i], arch); err != nil {
			return err
		}
	}
	return nil
}

// partition adds what one EFI system partition lacks.
func (e uefi) partition(s *Staged, job Job, esp *guest.ESP, arch string) error {
	old := esp.Fallback(arch)
	if old != nil && old.Broken == "" {
		return nil
	}
	from := e.vendor(job.Facts, esp, arch)
	if from == nil {
		s.Warn(e.Name(), "%s holds no loader that firmware without boot entries could start", esp.Volume)
		return nil
	}
	if why := readOnly(job.Facts, esp.Volume); why != "" {
		return ondisk.Because(ondisk.ErrUnsupported, "%s needs %s, and cannot be edited: %s", esp.Volume, efi.FallbackName(arch), why)
	}
	return e.install(s, job, from, old, arch)
}

func readOnly(f *guest.Facts, volume string) string {
	for _, x := range f.Filesystems {
		if x.Volume == volume {
			return x.ReadOnly
		}
	}
	return ""
}

// vendor is the loader to copy: one that leads to a menu, of the distribution's own
// folder where there are several; shim before what it starts.
func (e uefi) vendor(f *guest.Facts, esp *guest.ESP, arch string) *guest.EFIProgram {
	rank := func(p *guest.EFIProgram) int {
		n := 10 * slices.Index([]efi.Kind{efi.Shim, efi.GRUB, efi.SystemdBoot}, p.Kind)
		if !vendorOf(f.OS, path.Base(path.Dir(p.Path))) {
			n += 100
		}
		return n
	}
	var best *guest.EFIProgram
	for i := range esp.Programs {
		p := &esp.Programs[i]
		switch {
		case p.Kind == efi.UKI || !p.Loads() || p.Broken != "" || efi.Suffix(p.Arch) != efi.Suffix(arch):
		case strings.EqualFold(path.Base(path.Dir(p.Path)), "BOOT"):
		case best == nil || rank(p) < rank(best):
			best = p
		}
	}
	return best
}

// vendorOf reports whether a folder is called like a distribution.
func vendorOf(os guest.OS, folder string) bool {
	names := []string{os.Distro, os.Family}
	if os.Family == "rhel" {
		names = append(names, "redhat")
	}
	return slices.ContainsFunc(names, func(name string) bool { return name != "" && strings.EqualFold(name, folder) })
}

// install copies a loader, and what it looks for beside itself. shim's program that
// makes boot entries, fbx64.efi, is not among that: without it shim starts GRUB at
// once, with it the machine may start twice.
func (e uefi) install(s *Staged, job Job, from, old *guest.EFIProgram, arch string) error {
	dir := path.Dir(from.Path)
	boot := guest.Child(s, path.Dir(dir), "BOOT")
	if boot == "" {
		boot = path.Dir(dir) + "/BOOT"
	}
	why := Reason{Edit: e.Name(), Required: true, Text: "firmware without boot entries starts a copy of " + from.Path}
	suffix := efi.Suffix(arch)
	var beside []string
	grub := from
	if from.Kind == efi.Shim {
		beside = append(beside, "grub"+suffix+".efi", "mm"+suffix+".efi")
		grub = programAt(job.Facts, guest.Child(s, dir, "grub"+suffix+".efi"))
	}
	if grub != nil && grub.Core != nil && grub.Core.Prefix == "" {
		beside = append(beside, "grub.cfg")
	}
	for _, name := range beside {
		if source := guest.Child(s, dir, name); source != "" && guest.Child(s, boot, name) == "" {
			if err := e.copy(s, job, source, boot+"/"+name, why); err != nil {
				return err
			}
		}
	}
	if old != nil && old.Kind == efi.Shim && from.Kind == efi.Shim {
		return nil // it lacked only what is beside it
	}
	to := guest.Child(s, boot, efi.FallbackName(arch))
	if to == "" {
		to = boot + "/" + efi.FallbackName(arch)
	}
	return e.copy(s, job, from.Path, to, why)
}

func programAt(f *guest.Facts, file string) *guest.EFIProgram {
	for _, esp := range f.Firmware.ESPs {
		for i := range esp.Programs {
			if esp.Programs[i].Path == file {
				return &esp.Programs[i]
			}
		}
	}
	return nil
}

func (e uefi) copy(s *Staged, job Job, from, to string, why Reason) error {
	data, err := guest.ReadFile(s, from, job.Limits.OrDefault().File)
	if err != nil {
		return err
	}
	return s.WriteFile(to, blockdev.FromBytes(data), 0o755, why)
}
