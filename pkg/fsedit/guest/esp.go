package guest

import (
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/efi"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
)

// ESP is an EFI system partition: UEFI firmware starts a system from there.
type ESP struct {
	Volume   string       `json:"volume"`
	Path     string       `json:"path"`               // where the tree has it: "/boot/efi"
	Programs []EFIProgram `json:"programs,omitempty"` // of the folders in EFI, by path
}

// EFIProgram is a program on an EFI system partition.
type EFIProgram struct {
	Path    string    `json:"path"` // in the tree: "/boot/efi/EFI/debian/shimx64.efi"
	Kind    efi.Kind  `json:"kind"`
	Arch    string    `json:"arch,omitempty"`
	Version string    `json:"version,omitempty"`
	Signed  bool      `json:"signed,omitempty"` // as Secure Boot wants it; by whom is not checked
	Core    *efi.Core `json:"core,omitempty"`   // what GRUB has built in
	// Chain is what the program leads to, file by file; its menu is the last.
	Chain []string `json:"chain,omitempty"`
	// Broken is why the chain ends before a menu.
	Broken string `json:"broken,omitempty"`
}

// Loads reports whether the program starts systems: one that only helps another,
// or is not known, does not count.
func (p EFIProgram) Loads() bool {
	return slices.Contains([]efi.Kind{efi.Shim, efi.GRUB, efi.SystemdBoot, efi.UKI}, p.Kind)
}

// Fallback is the program that firmware without boot entries starts, on machines
// of an architecture; nil when there is none.
func (e *ESP) Fallback(arch string) *EFIProgram {
	for i := range e.Programs {
		p := &e.Programs[i]
		dir, name := path.Split(p.Path)
		if strings.EqualFold(path.Base(dir), "BOOT") && strings.EqualFold(name, efi.FallbackName(arch)) && sameArch(p.Arch, arch) {
			return p
		}
	}
	return nil
}

func sameArch(a, b string) bool { return efi.Suffix(a) != "" && efi.Suffix(a) == efi.Suffix(b) }

// Arch is the architecture of the machine that the guest needs: that of the kernel
// that starts, since the userland's may be smaller.
func (f *Facts) Arch() string {
	for _, k := range f.Kernels {
		if k.Default && k.Arch != "" {
			return k.Arch
		}
	}
	return f.OS.Arch
}

// isESP tells by the type in the partition table; of a mirror, by its legs.
func (in *inspection) isESP(v volume.Volume) bool {
	if v.Kind == "md" && len(v.Members) > 0 {
		return !slices.ContainsFunc(v.Members, func(id string) bool {
			s := in.source(id)
			return s == nil || s.Volume.Kind == "md" || !in.isESP(s.Volume)
		})
	}
	return v.Type == espGPT && v.Kind == "gpt" || v.Type == espMBR && v.Kind == "mbr"
}

// unmountedESPs are the mounts of EFI system partitions that fstab does not mount:
// systemd does it when it starts, and some guests never.
func (in *inspection) unmountedESPs(mounted []Mounted) []Mount {
	var out []Mount
	for i := range in.sources {
		s := &in.sources[i]
		taken := func(m Mounted) bool { return m.Volume == s.Volume.ID }
		if s.Open == nil || s.Ident.Type != "vfat" || !in.isESP(s.Volume) || slices.ContainsFunc(mounted, taken) {
			continue
		}
		m := Mount{Path: freePlace(NewTree(mounted), s.Volume.ID), Volume: s.Volume.ID, Type: s.Ident.Type}
		mounted = append(mounted, Mounted{Path: m.Path, Volume: m.Volume, Open: s.opener()})
		out = append(out, m)
	}
	return out
}

// freePlace is a folder to mount an EFI system partition on: one that a system has
// for it and that is empty, else one of its own.
func freePlace(t *Tree, id string) string {
	for _, p := range []string{"/boot/efi", "/efi"} {
		if list, err := t.ReadDir(p); err == nil && len(list) == 0 && !slices.Contains(t.Mountpoints(), p) {
			return p
		}
	}
	return ownPlace + strings.ReplaceAll(id, "/", "-")
}

// ownPlace begins the places that no system has.
const ownPlace = "/efi-"

func isPrivate(p string) bool { return strings.HasPrefix(p, ownPlace) }

// maxPrograms bounds what is looked at on one partition.
const maxPrograms = 64

// findESPs reads the EFI system partitions: those of the right type, and the FAT
// that fstab mounts where one belongs.
func (in *inspection) findESPs(v View) []ESP {
	var out []ESP
	for _, m := range in.facts.Mounts {
		s := in.source(m.Volume)
		usual := m.Path == "/boot/efi" || m.Path == "/efi"
		if s == nil || s.Ident.Type != "vfat" || !usual && !in.isESP(s.Volume) {
			continue
		}
		e := ESP{Volume: m.Volume, Path: m.Path}
		e.Programs = readPrograms(v, m.Path)
		out = append(out, e)
	}
	for i := range out {
		c := chain{view: v, limit: in.opts.Limits.Text, devices: in.devices, mounts: in.facts.Mounts, esp: &out[i]}
		if f := in.devices.get(out[i].Volume); f != nil {
			c.disk = f.Disk
		}
		c.all()
	}
	return out
}

// readPrograms reads the programs in the folders of EFI. What is no EFI program,
// whatever its name, is left out.
func readPrograms(v View, top string) []EFIProgram {
	var out []EFIProgram
	base := Child(v, top, "EFI")
	vendors, err := v.ReadDir(base)
	if base == "" || err != nil {
		return nil
	}
	for _, vendor := range vendors {
		files, err := v.ReadDir(join(base, vendor.Name))
		if err != nil {
			continue
		}
		for _, f := range files {
			if len(out) == maxPrograms || !strings.HasSuffix(strings.ToLower(f.Name), ".efi") {
				continue
			}
			p := join(join(base, vendor.Name), f.Name)
			dev, err := v.Open(p)
			if err != nil {
				continue
			}
			if x, err := efi.Read(dev, dev.Size(), f.Name); err == nil {
				out = append(out, EFIProgram{Path: p, Kind: x.Kind, Arch: x.Arch, Version: x.Version, Signed: x.Signed, Core: x.Core})
			}
		}
	}
	return out
}

// Child is the path of a name in a folder, whatever the case of its letters, as
// FAT has it; empty when there is none.
func Child(v View, dir, name string) string {
	list, err := v.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, d := range list {
		if strings.EqualFold(d.Name, name) {
			return join(dir, d.Name)
		}
	}
	return ""
}
