package edit

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/initramfs"
	"github.com/vmconv/vmconv/pkg/fsedit/kmod"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// segment is what one initramfs gets.
type segment struct {
	staged *Staged
	job    Job
	kernel guest.Kernel
	dev    blockdev.Device  // the whole file, with an earlier segment of ours
	base   *initramfs.Image // without it
	root   *kmod.Tree       // modules on the disk
	files  imageFiles
	loaded []string // modules that were added
}

func openSegment(s *Staged, job Job, k guest.Kernel, root *kmod.Tree) (*segment, error) {
	if olderKernel(release(k), 2, 6, 24) {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "its kernel cannot unpack a second archive over the first")
	}
	dev, err := s.Open(k.Initramfs)
	if err != nil {
		return nil, err
	}
	opts := initramfs.Options{Keep: configured, Limits: job.Limits}
	base, err := initramfs.ReadBase(dev, dev.Size(), opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.Initramfs, err)
	}
	files := imageFiles{image: base, added: map[string][]byte{}}
	return &segment{staged: s, job: job, kernel: k, dev: dev, base: base, root: root, files: files}, nil
}

// drivers adds what the image lacks of the closure of names, and indexes with
// it: modules that no index knows are never loaded.
func (g *segment) drivers(names []string) error {
	tree, err := imageModules(g.base, release(g.kernel), g.job.Limits)
	if err != nil {
		return err
	}
	earlier, err := g.earlier(tree)
	if err != nil {
		return err
	}
	closure, err := g.root.Closure(append(slices.Clone(names), earlier...)...)
	if err != nil {
		return err
	}
	for _, m := range closure {
		if old, ok := tree.Module(m.Name); !ok && !tree.Builtin(m.Name) {
			g.loaded = append(g.loaded, m.Name)
		} else if ok && !holds(g.base, release(g.kernel), old) {
			return ondisk.Because(ondisk.ErrCorrupt, "%s: its index names %s, which is not in it", g.kernel.Initramfs, old.Path)
		}
	}
	if len(g.loaded) == 0 {
		return nil
	}
	merged, err := kmod.Merge(tree, g.root, g.loaded)
	if err != nil {
		return err
	}
	if err := g.add(merged); err != nil {
		return err
	}
	generator := g.base.Generator()
	if !generator.Udev && !loadsByIndex[generator.Kind] {
		return ondisk.Because(ondisk.ErrUnsupported, "%s: how an initramfs of kind %q loads drivers is not known", g.kernel.Initramfs, generator.Kind)
	}
	return g.files.force(generator.Kind, names)
}

// loadsByIndex are the generators whose images load drivers by the indexes even
// where no udev is found in them.
var loadsByIndex = map[initramfs.Kind]bool{
	initramfs.InitramfsTools: true, initramfs.Dracut: true, initramfs.Mkinitcpio: true, initramfs.Mkinitfs: true,
}

// earlier are the modules that a segment of ours brought before: drivers for
// another target, that a further conversion keeps.
func (g *segment) earlier(base *kmod.Tree) ([]string, error) {
	if g.base.Size() == g.dev.Size() {
		return nil, nil
	}
	image, err := initramfs.Read(g.dev, g.dev.Size(), initramfs.Options{Keep: configured, Limits: g.job.Limits})
	if err != nil {
		return nil, err
	}
	whole, err := imageModules(image, release(g.kernel), g.job.Limits)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range whole.Modules() {
		_, inBase := base.Module(m.Name)
		if _, onDisk := g.root.Module(m.Name); onDisk && !inBase {
			out = append(out, m.Name)
		}
	}
	return out, nil
}

// add puts the new modules, unpacked, and the indexes of all into the segment.
func (g *segment) add(merged *kmod.Tree) error {
	dir := moduleDir(release(g.kernel))
	for _, name := range g.loaded {
		on, _ := g.root.Module(name)
		in, _ := merged.Module(name)
		content, err := g.module(on)
		if err != nil {
			return err
		}
		p := in.Path
		if !path.IsAbs(p) {
			p = join(dir, p)
		}
		if err := g.files.put(strings.TrimPrefix(p, "/"), content); err != nil {
			return err
		}
	}
	indexes, err := merged.Files()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(indexes)) {
		p := join(dir, name)
		if _, ok := g.base.Lookup(p); !ok && strings.HasPrefix(name, "modules.symbols") {
			continue // nothing in this image asks for symbols
		}
		if err := g.files.put(p, indexes[name]); err != nil {
			return err
		}
	}
	return nil
}

// module is the content of a module on the disk, unpacked: the modprobe of an
// initramfs need not know every compression.
func (g *segment) module(m kmod.Module) ([]byte, error) {
	p := m.Path
	if !path.IsAbs(p) {
		p = join(g.kernel.Modules, p)
	}
	limits := g.job.Limits.OrDefault()
	packed, err := guest.ReadFile(g.staged, p, limits.File)
	if err != nil {
		return nil, err
	}
	return kmod.Decompress(packed, limits)
}

// configuration brings the image's copies of what other edits changed.
func (g *segment) configuration() error {
	if g.job.Needs.DiskName != nil {
		if err := g.files.devices(newNames(g.job)); err != nil {
			return err
		}
	}
	if err := g.files.allow(g.job.Needs); err != nil {
		return err
	}
	return g.files.links(g.staged, g.job)
}

// stage appends the segment to the base, which stays where it is.
func (g *segment) stage(edit string) error {
	if len(g.files.added) == 0 {
		return nil
	}
	methods := g.base.Methods()
	lz4 := methods[len(methods)-1] == initramfs.LZ4 && olderKernel(release(g.kernel), 5, 9, 0)
	delta, err := g.base.NewDelta(initramfs.DeltaOptions{LZ4: lz4})
	if err != nil {
		return err
	}
	for _, p := range slices.Sorted(maps.Keys(g.files.added)) {
		if err := delta.Add(p, 0o644, g.files.added[p]); err != nil {
			return err
		}
	}
	tail, err := delta.Bytes()
	if err != nil {
		return err
	}
	head, err := blockdev.NewSection(g.dev, 0, delta.Base())
	if err != nil {
		return err
	}
	why := Reason{Edit: edit, Text: "settings inside the initramfs"}
	if len(g.loaded) > 0 {
		why = Reason{Edit: edit, Text: "the initramfs has the drivers " + strings.Join(g.loaded, ", "), Required: true}
	}
	content := blockdev.NewConcat(head, blockdev.FromBytes(tail))
	if err := g.staged.WriteFile(g.kernel.Initramfs, content, 0o600, why); err != nil {
		return err
	}
	g.staged.Describe(g.kernel.Initramfs, g.listing(delta.Base(), len(tail)))
	return nil
}

// listing tells what is in the segment: "+" is new, "~" replaces a file.
func (g *segment) listing(base int64, length int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d bytes appended to %d\n", g.kernel.Initramfs, length, base)
	for _, p := range slices.Sorted(maps.Keys(g.files.added)) {
		sign := "+"
		if _, ok := g.base.Lookup(p); ok {
			sign = "~"
		}
		fmt.Fprintf(&b, "%s %s (%d bytes)\n", sign, p, len(g.files.added[p]))
	}
	return b.String()
}
