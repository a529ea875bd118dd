package guest

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// kernelFinder puts the kernels of a guest together from what lies in it.
type kernelFinder struct {
	view    View
	limit   int64
	boot    []bootEntry
	kernels []Kernel
}

// findKernels finds kernels by module trees, images and boot entries; packages
// are not asked. Newest first.
func findKernels(v View, limit int64, boot []bootEntry) []Kernel {
	f := &kernelFinder{view: v, limit: limit, boot: boot, kernels: []Kernel{}}
	f.moduleTrees()
	f.images()
	f.entries()
	for i := range f.kernels {
		f.complete(&f.kernels[i])
	}
	slices.SortStableFunc(f.kernels, func(a, b Kernel) int { return -compareVersions(a.Version, b.Version) })
	return f.kernels
}

// get is the kernel of a version, made when new.
func (f *kernelFinder) get(version string) *Kernel {
	i := slices.IndexFunc(f.kernels, func(k Kernel) bool { return k.Version == version })
	if i < 0 {
		i = len(f.kernels)
		f.kernels = append(f.kernels, Kernel{Version: version})
	}
	return &f.kernels[i]
}

func (f *kernelFinder) known(version string) bool {
	return slices.ContainsFunc(f.kernels, func(k Kernel) bool { return k.Version == version })
}

// moduleTrees finds the directories that hold modules; what a removed kernel
// left behind holds none.
func (f *kernelFinder) moduleTrees() {
	for _, dir := range []string{"/lib/modules", "/usr/lib/modules"} {
		list, err := f.view.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, d := range list {
			tree := join(dir, d.Name)
			real, err := f.view.Realpath(tree)
			if err != nil || !f.hasModules(tree) {
				continue
			}
			if k := f.get(d.Name); k.Modules == "" {
				k.Modules = real
			}
		}
	}
}

// hasModules looks for a list of modules that is not empty, or for a module.
func (f *kernelFinder) hasModules(tree string) bool {
	if a, err := f.view.Stat(tree + "/modules.dep"); err == nil && a.Size > 0 {
		return IsDir(f.view, tree+"/kernel") || IsDir(f.view, tree+"/updates") || IsDir(f.view, tree+"/extra")
	}
	return f.firstModule(tree+"/kernel", 6) != ""
}

// firstModule is the path of some module below dir.
func (f *kernelFinder) firstModule(dir string, depth int) string {
	list, err := f.view.ReadDir(dir)
	if err != nil || depth == 0 {
		return ""
	}
	for _, d := range list {
		if strings.HasSuffix(d.Name, ".ko") || strings.Contains(d.Name, ".ko.") {
			return join(dir, d.Name)
		}
	}
	for _, d := range list {
		if d.Type == 0 || d.Type.IsDir() {
			if p := f.firstModule(join(dir, d.Name), depth-1); p != "" {
				return p
			}
		}
	}
	return ""
}

var imageName = regexp.MustCompile(`^(?:vmlinuz|vmlinux|kernel|bzImage|Image|zImage)(?:-(.+))?$`)

// leftover are the ends of names that package managers leave.
var leftover = []string{".dpkg-old", ".dpkg-new", ".dpkg-tmp", ".dpkg-bak", ".rpmsave", ".rpmnew", ".old", ".hmac", ".sig", ".sign", ".efi.signed"}

// images finds kernel images where distributions keep them: first those that are
// named after a module tree, since there may be copies of them.
func (f *kernelFinder) images() {
	list, err := f.view.ReadDir("/boot")
	if err != nil {
		list = nil
	}
	var others []string
	for _, d := range list {
		m := imageName.FindStringSubmatch(d.Name)
		switch p := "/boot/" + d.Name; {
		case m == nil || suffix(leftover...)(d.Name):
		case f.known(m[1]):
			f.image(p, false)
		default:
			others = append(others, p)
		}
	}
	for _, p := range others {
		f.image(p, false)
	}
	for i := range f.kernels {
		if k := &f.kernels[i]; k.Image == "" && IsFile(f.view, k.Modules+"/vmlinuz") && k.Modules != "" {
			k.Image = k.Modules + "/vmlinuz"
		}
	}
	for _, p := range []string{"/vmlinuz", "/vmlinuz.old"} {
		f.image(p, false)
	}
}

// image records an image under the version that it says, or that its name has. A
// second image of one version counts when a boot entry names it: a rescue entry
// has a copy of the kernel and an initramfs of its own.
func (f *kernelFinder) image(p string, named bool) {
	if !IsFile(f.view, p) {
		return
	}
	real, err := f.view.Realpath(p)
	if err != nil {
		return
	}
	if slices.ContainsFunc(f.kernels, func(k Kernel) bool { return k.Image == real }) {
		return
	}
	version := f.imageVersion(real)
	if version == "" {
		return
	}
	switch k := f.get(version); {
	case k.Image == "":
		k.Image = real
	case named:
		f.kernels = append(f.kernels, Kernel{Version: version, Modules: k.Modules, Image: real})
	}
}

// imageVersion trusts the name only where a module tree or nothing else speaks.
func (f *kernelFinder) imageVersion(p string) string {
	name := ""
	if m := imageName.FindStringSubmatch(path.Base(p)); m != nil {
		name = m[1]
	}
	if f.known(name) {
		return name
	}
	if v := versionInImage(f.view, p, f.limit); v != "" {
		return v
	}
	return name
}

// entries lets the boot entries tell which initramfs and arguments a kernel has.
func (f *kernelFinder) entries() {
	for _, e := range f.boot {
		f.image(e.kernel, true)
		real, err := f.view.Realpath(e.kernel)
		if err != nil {
			continue
		}
		i := slices.IndexFunc(f.kernels, func(k Kernel) bool { return k.Image == real })
		if i < 0 {
			continue
		}
		k := &f.kernels[i]
		k.Entries = append(k.Entries, e.title)
		if k.Initramfs == "" || e.isDefault {
			if n := len(e.initrds); n > 0 && IsFile(f.view, e.initrds[n-1]) {
				k.Initramfs, _ = f.view.Realpath(e.initrds[n-1])
			}
		}
		if k.Args == "" || e.isDefault {
			k.Args = e.args
		}
		k.Default = k.Default || e.isDefault
	}
}

// complete finds by name what no entry told, and what the files tell.
func (f *kernelFinder) complete(k *Kernel) {
	kv := k.Version
	if k.Initramfs == "" {
		flavour := ""
		if m := imageName.FindStringSubmatch(path.Base(k.Image)); m != nil {
			flavour = m[1]
		}
		for _, p := range []string{"/boot/initrd.img-" + kv, "/boot/initramfs-" + kv + ".img", "/boot/initrd-" + kv, "/boot/initrd-" + kv + ".img",
			"/boot/initramfs-" + flavour, "/boot/initramfs-" + flavour + ".img", "/boot/initramfs-genkernel-x86_64-" + kv} {
			if IsFile(f.view, p) {
				k.Initramfs, _ = f.view.Realpath(p)
				break
			}
		}
	}
	configs := []string{"/boot/config-" + kv}
	if k.Modules != "" {
		configs = append(configs, k.Modules+"/config")
	}
	for _, p := range configs {
		if IsFile(f.view, p) {
			k.Config = p
			break
		}
	}
	k.Arch = f.arch(k)
	k.XenOnly = f.xenOnly(k)
}

// arch is told by a module that every distribution builds itself; any other may
// come from elsewhere. Compressed modules tell nothing; then the image does.
func (f *kernelFinder) arch(k *Kernel) string {
	if k.Modules != "" {
		for _, name := range []string{"drivers/virtio/virtio.ko", "arch/x86/kvm/kvm.ko", "drivers/net/dummy.ko", "fs/ext4/ext4.ko", "fs/fat/fat.ko"} {
			if arch := elfArch(f.view, k.Modules+"/kernel/"+name); arch != "" {
				return arch
			}
		}
	}
	if k.Image != "" {
		if arch := archOfImage(f.view, k.Image); arch != "" {
			return arch
		}
	}
	if k.Modules != "" {
		if p := f.firstModule(k.Modules+"/kernel", 6); strings.HasSuffix(p, ".ko") {
			return elfArch(f.view, p)
		}
	}
	return ""
}

var xenSuffix = regexp.MustCompile(`xenU?$|-xen-`)

// xenOnly: a kernel of the XenoLinux line, which runs as a Xen PV guest and
// nowhere else. The configuration decides; names lie (Debian 6's -xen-amd64 also
// runs on bare metal).
func (f *kernelFinder) xenOnly(k *Kernel) bool {
	if k.Config != "" {
		if text, err := ReadFile(f.view, k.Config, f.limit); err == nil {
			s := "\n" + string(text)
			return strings.Contains(s, "\nCONFIG_X86_XEN=y") || strings.Contains(s, "\nCONFIG_X86_64_XEN=y")
		}
	}
	return xenSuffix.MatchString(k.Version)
}
