package edit

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/initramfs"
	"github.com/vmconv/vmconv/pkg/fsedit/kmod"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// DriverSet is what one kernel can load before its root is mounted: what it
// holds itself, and what its initramfs has.
type DriverSet struct {
	image  *initramfs.Image // nil without an initramfs
	tree   *kmod.Tree       // of the initramfs
	root   *kmod.Tree       // of the module tree on the disk
	kernel guest.Kernel
}

// LoadDrivers reads the drivers of a kernel as they are in v.
func LoadDrivers(v guest.View, k guest.Kernel, limits ondisk.Limits) (*DriverSet, error) {
	set := &DriverSet{tree: &kmod.Tree{}, kernel: k}
	var err error
	if set.root, err = diskModules(v, k, limits); err != nil {
		return nil, err
	}
	if k.Initramfs == "" {
		return set, nil
	}
	dev, err := v.Open(k.Initramfs)
	if err != nil {
		return nil, err
	}
	set.image, err = initramfs.Read(dev, dev.Size(), initramfs.Options{Keep: configured, Limits: limits})
	if err != nil {
		return nil, err
	}
	set.tree, err = imageModules(set.image, release(k), limits)
	return set, err
}

// Builtin reports whether the kernel itself holds a driver.
func (d *DriverSet) Builtin(module string) bool {
	return d.root.Builtin(module) || d.tree.Builtin(module)
}

// Find says where a driver is: "" for nowhere.
func (d *DriverSet) Find(module string) string {
	if d.Builtin(module) {
		return "built in"
	}
	if m, ok := d.tree.Module(module); ok && d.image != nil && holds(d.image, release(d.kernel), m) {
		return "in " + d.kernel.Initramfs
	}
	return ""
}

// ByAlias are the drivers that a device's modalias leads to in the initramfs.
func (d *DriverSet) ByAlias(modalias string) []string {
	return d.tree.Resolve(modalias)
}

// Forced reports whether the initramfs loads a driver without being asked.
func (d *DriverSet) Forced(module string) bool {
	if d.image == nil {
		return false
	}
	text, err := d.image.Content("conf/modules")
	if err == nil && listed(text, module) {
		return true
	}
	files := imageFiles{image: d.image}
	for _, p := range files.below("etc/cmdline.d") {
		text, err := d.image.Content(p)
		if err == nil && bytes.Contains(text, []byte("rd.driver.pre=")) && bytes.Contains(text, []byte(module)) {
			return true
		}
	}
	return false
}

// IsModule reports whether the kernel has a driver as a module on the disk: then
// only its initramfs can have it before the root is mounted.
func (d *DriverSet) IsModule(module string) bool {
	_, ok := d.root.Module(module)
	return ok && !d.Builtin(module)
}

// Provides reports whether an algorithm of the kernel's cryptography can be had
// before the root is mounted, "crc32c": modules that are asked for by that name are
// in the initramfs, unless the kernel has no such modules.
func (d *DriverSet) Provides(algorithm string) bool {
	alias := "crypto-" + algorithm
	asked := slices.DeleteFunc(d.root.Resolve(alias), func(m string) bool { return !d.IsModule(m) })
	if len(asked) == 0 || d.Builtin(algorithm) || d.Builtin(algorithm+"_generic") {
		return true
	}
	return slices.ContainsFunc(d.tree.Resolve(alias), func(m string) bool { return d.Find(m) != "" })
}

// Holds is the first of paths that the initramfs has, or "".
func (d *DriverSet) Holds(paths ...string) string {
	for _, p := range paths {
		if d.image == nil {
			break
		}
		if _, ok := d.image.Lookup(p); ok {
			return p
		}
	}
	return ""
}

// Text is a small file of the initramfs, or nil.
func (d *DriverSet) Text(p string) []byte {
	if d.Holds(p) == "" {
		return nil
	}
	text, err := d.image.Content(p)
	if err != nil {
		return nil
	}
	return text
}

// Arguments are what the initramfs adds to the kernel's command line
// (dracut.cmdline(7)).
func (d *DriverSet) Arguments() string {
	if d.image == nil {
		return ""
	}
	var all []string
	files := imageFiles{image: d.image}
	for _, p := range files.below("etc/cmdline.d") {
		all = append(all, strings.Fields(string(d.Text(p)))...)
	}
	return strings.Join(all, " ")
}

// diskModules are the indexes of a kernel's module tree, with the soft
// dependencies of modprobe.d(5). A kernel without a tree has an empty one.
func diskModules(v guest.View, k guest.Kernel, limits ondisk.Limits) (*kmod.Tree, error) {
	if k.Modules == "" {
		return &kmod.Tree{}, nil
	}
	limits = limits.OrDefault()
	tree, err := kmod.Load(func(name string) ([]byte, error) {
		return guest.ReadFile(v, join(k.Modules, name), limits.Table)
	}, kmod.Options{Limits: limits})
	if errors.Is(err, fs.ErrNotExist) {
		return &kmod.Tree{}, nil
	}
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{"/etc/modprobe.d", "/lib/modprobe.d"} {
		for _, name := range fileNames(v, dir) {
			text, err := guest.ReadFile(v, join(dir, name), limits.Text)
			if err != nil {
				return nil, err
			}
			tree.Softdeps = append(tree.Softdeps, kmod.ParseSoftdep(text)...)
		}
	}
	return tree, nil
}

// release is the name of a kernel's module folder, which is what the running
// kernel calls itself.
func release(k guest.Kernel) string {
	if k.Modules != "" {
		return path.Base(k.Modules)
	}
	return k.Version
}

// moduleDir is where an initramfs keeps the modules of a kernel.
func moduleDir(version string) string { return "lib/modules/" + version }

// imageModules are the indexes inside an initramfs; one without has no modules.
func imageModules(image *initramfs.Image, version string, limits ondisk.Limits) (*kmod.Tree, error) {
	tree, err := kmod.Load(func(name string) ([]byte, error) {
		return image.Content(join(moduleDir(version), name))
	}, kmod.Options{Limits: limits})
	if errors.Is(err, fs.ErrNotExist) {
		return &kmod.Tree{}, nil
	}
	return tree, err
}

// holds reports whether the file of an indexed module is in the image.
func holds(image *initramfs.Image, version string, m kmod.Module) bool {
	p := m.Path
	if !path.IsAbs(p) {
		p = join(moduleDir(version), p)
	}
	_, ok := image.Lookup(p)
	return ok
}
