package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/convert"
	"github.com/vmconv/vmconv/pkg/convert/target"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/wrapper"
)

// destinations names every output of one machine: one destination a target, or
// one for the disks alone. sources are the names of its disks.
func (a *app) destinations(f *convertFlags, targets []target.Target, sources []string, name string) ([]convert.Destination, error) {
	if len(targets) == 0 {
		d, err := a.destination(f, nil, sources, name)
		return []convert.Destination{d}, err
	}
	var out []convert.Destination
	for i := range targets {
		n := name
		if len(targets) > 1 {
			n = name + "-" + targets[i].Name
		}
		d, err := a.destination(f, &targets[i], sources, n)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func (a *app) destination(f *convertFlags, t *target.Target, sources []string, name string) (convert.Destination, error) {
	out, err := a.outputKind(f, t)
	if err != nil {
		return convert.Destination{}, err
	}
	first := outputPath(f.output, name, out.extension())
	stem := besides(first, name)
	d := convert.Destination{Target: t, Name: filepath.Base(stem), Path: first}
	if err := checkAppliance(f, out.appliance, len(sources)); err != nil {
		return d, err
	}
	// Options describe the machine around an XVA's only disk; without them, the
	// source does.
	if out.appliance == convert.OVA || out.appliance == convert.XVA && len(f.options) == 0 {
		d.Appliance = out.appliance
	}
	for i, source := range sources {
		path := first
		if i > 0 {
			path = stem + "-" + strconv.Itoa(i+1) + "." + out.extension()
		}
		file, err := a.diskFile(f, out, source, path)
		if err != nil {
			return d, err
		}
		d.Disks = append(d.Disks, file)
	}
	if t == nil || d.Appliance != convert.NoAppliance {
		return d, nil
	}
	d.Description = stem + ".xml"
	base, err := filepath.Abs(stem)
	d.Kernel, d.Initramfs = base+".vmlinuz", base+".initrd"
	return d, err
}

// checkAppliance refuses what would have no effect.
func checkAppliance(f *convertFlags, kind convert.Appliance, disks int) error {
	switch {
	case kind == convert.OVA && f.output == stdinName:
		return usagef("an OVA cannot be written to a pipe, since it begins with the sizes and digests of what follows: name a file with -o")
	case kind == convert.OVA && slices.ContainsFunc(f.options, func(o string) bool { return strings.HasPrefix(o, "subformat=") }):
		return usagef("the disks of an OVA are streamOptimized: it takes no --opt subformat")
	case kind == convert.XVA && f.compress():
		return usagef("an XVA is not compressed inside: leave -c out, and pack the whole file")
	case kind == convert.XVA && disks > 1 && len(f.options) > 0:
		return usagef("--opt describes a machine with one disk, and this one has %d", disks)
	}
	return nil
}

func (a *app) diskFile(f *convertFlags, out outputKind, source, path string) (convert.DiskFile, error) {
	named, err := filepath.Abs(path)
	if err != nil {
		return convert.DiskFile{}, err
	}
	opts, err := a.createOptions(f, out.creator, source, path)
	if err != nil {
		return convert.DiskFile{}, err
	}
	if out.appliance == convert.OVA {
		opts.Values["subformat"], opts.Compress = "streamOptimized", true
	}
	return convert.DiskFile{Path: path, Named: named, Creator: out.creator, Options: opts}, nil
}

// layer makes the outputs overlays over the sources, which have to stay where
// and as they are from then on.
func (a *app) layer(s *session, dests []convert.Destination) error {
	for _, dst := range dests {
		for i := range dst.Disks {
			d, src := &dst.Disks[i], s.disks[i]
			if d.Creator.Name() != "qcow2" {
				return usagef("--overlay writes qcow2, not %s", d.Creator.Name())
			}
			if src.packed || wrapper.Trim(src.path) != src.path {
				return usagef("--overlay needs a source that QEMU can read: %s is packed", src.path)
			}
			format, err := convert.BackingFormat(src.image.Info())
			if err != nil {
				return fmt.Errorf("%s: %w", src.path, err)
			}
			name, err := backingName(d.Path, src.path)
			if err != nil {
				return err
			}
			d.Layer = true
			d.Options.Values["backing_file"], d.Options.Values["backing_fmt"] = name, format
			a.ui.info(src.path, "%s holds the edits alone: keep %s unchanged and in its place", d.Path, src.path)
		}
	}
	return nil
}

// backingName is how an overlay names the image below: by its name in the same
// folder, so that both can be moved together, else by its full path.
func backingName(overlay, backing string) (string, error) {
	x, err := filepath.Abs(overlay)
	if err != nil {
		return "", err
	}
	y, err := filepath.Abs(backing)
	if err == nil && filepath.Dir(x) == filepath.Dir(y) {
		return filepath.Base(y), nil
	}
	return y, err
}

// outputKind is what is written: an image, or an appliance with images in it.
type outputKind struct {
	appliance convert.Appliance
	creator   imagefmt.Creator
}

func (k outputKind) name() string {
	if k.appliance != convert.NoAppliance {
		return string(k.appliance)
	}
	return k.creator.Name()
}

func (k outputKind) extension() string {
	if k.appliance != convert.NoAppliance {
		return string(k.appliance)
	}
	return k.creator.Extension()
}

// applianceDisk is the format of the disks in an appliance.
var applianceDisk = map[convert.Appliance]string{convert.OVA: "vmdk", convert.XVA: "xva"}

// outputKind is told by -O, by -o's extension or by the target; where two tell
// different things, that is an error.
func (a *app) outputKind(f *convertFlags, t *target.Target) (outputKind, error) {
	byExtension, _ := a.lookupKind(strings.TrimPrefix(filepath.Ext(f.output), "."))
	if isFolder(f.output) {
		byExtension = outputKind{}
	}
	name := f.outFormat
	if name == "" && byExtension.creator != nil {
		name = byExtension.name()
	}
	if name == "" && t != nil {
		name = t.DiskFormat
	}
	if name == "" {
		return outputKind{}, usagef("which format? name it with -O")
	}
	kind, err := a.lookupKind(name)
	switch {
	case err != nil:
		return kind, err
	case byExtension.creator != nil && byExtension.name() != kind.name():
		return kind, usagef("-O %s contradicts the name %s", f.outFormat, f.output)
	case t != nil && !slices.Contains(t.DiskFormats, kind.name()):
		return kind, usagef("%s takes %s, not %s", t.Name, strings.Join(t.DiskFormats, " or "), kind.name())
	}
	return kind, nil
}

// lookupKind finds what a name of -O stands for.
func (a *app) lookupKind(name string) (outputKind, error) {
	k := outputKind{}
	if i := slices.Index(convert.Appliances(), convert.Appliance(strings.ToLower(name))); i >= 0 {
		k.appliance = convert.Appliances()[i]
		name = applianceDisk[k.appliance]
	}
	format, err := a.registry.Lookup(name)
	if err != nil {
		return k, usagef("%v", err)
	}
	creator, ok := format.(imagefmt.Creator)
	if !ok {
		return k, usagef("images in format %s cannot be written; see 'vmconv formats'", format.Name())
	}
	k.creator = creator
	return k, nil
}

// outputPath is where the first disk goes: to what -o names, a file in the folder
// that it names, or NAME.EXT here.
func outputPath(output, name, ext string) string {
	switch {
	case output == "":
		return name + "." + ext
	case isFolder(output):
		return filepath.Join(output, name+"."+ext)
	}
	return output
}

// besides is what the names of the other outputs begin with: those of the disk
// without its extension, or the machine's when the disk is a block device.
func besides(disk, name string) string {
	if disk == stdinName {
		return name
	}
	if info, err := os.Stat(disk); err == nil && !info.Mode().IsRegular() {
		return name
	}
	return strings.TrimSuffix(disk, filepath.Ext(disk))
}

// machineName is the source's file name without its extensions: web of
// web.vmdk.gz.
func machineName(path string) string {
	if path == stdinName {
		return "stdin"
	}
	name := wrapper.Trim(filepath.Base(path))
	if stem := strings.TrimSuffix(name, filepath.Ext(name)); stem != "" {
		return stem
	}
	return name
}
