package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/convert"
	"github.com/vmconv/vmconv/pkg/convert/target"
	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// destinations names every output of one machine: one destination a target, or
// one for the disks alone.
func (a *app) destinations(f *convertFlags, targets []target.Target, disks []string, name string) ([]convert.Destination, error) {
	if len(targets) == 0 {
		d, err := a.destination(f, nil, disks, name)
		return []convert.Destination{d}, err
	}
	var out []convert.Destination
	for i := range targets {
		n := name
		if len(targets) > 1 {
			n = name + "-" + targets[i].Name
		}
		d, err := a.destination(f, &targets[i], disks, n)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func (a *app) destination(f *convertFlags, t *target.Target, disks []string, name string) (convert.Destination, error) {
	creator, err := a.outputFormat(f, t)
	if err != nil {
		return convert.Destination{}, err
	}
	values, err := formatOptions(f.options, creator)
	if err != nil {
		return convert.Destination{}, err
	}
	first := outputPath(f.output, name, creator.Extension())
	stem := besides(first, name)
	d := convert.Destination{Target: t, Name: filepath.Base(stem)}
	for i := range disks {
		path := first
		if i > 0 {
			path = stem + "-" + strconv.Itoa(i+1) + "." + creator.Extension()
		}
		named, err := filepath.Abs(path)
		if err != nil {
			return d, err
		}
		d.Disks = append(d.Disks, convert.DiskFile{
			Path: path, Named: named, Creator: creator,
			Options: imagefmt.CreateOptions{Values: values, Compress: f.compress},
		})
	}
	if t == nil {
		return d, nil
	}
	d.Description = stem + ".xml"
	base, err := filepath.Abs(stem)
	d.Kernel, d.Initramfs = base+".vmlinuz", base+".initrd"
	return d, err
}

// outputFormat is told by -O, by -o's extension or by the target; where two tell
// different things, that is an error.
func (a *app) outputFormat(f *convertFlags, t *target.Target) (imagefmt.Creator, error) {
	byExtension := ""
	if ext := strings.TrimPrefix(filepath.Ext(f.output), "."); ext != "" && !isFolder(f.output) {
		if known, err := a.registry.Lookup(ext); err == nil {
			byExtension = known.Name()
		}
	}
	name := f.outFormat
	if name == "" {
		name = byExtension
	}
	if name == "" && t != nil {
		name = t.DiskFormat
	}
	if name == "" {
		return nil, usagef("which format? name it with -O")
	}
	format, err := a.registry.Lookup(name)
	if err != nil {
		return nil, usagef("%v", err)
	}
	creator, ok := format.(imagefmt.Creator)
	switch {
	case !ok:
		return nil, usagef("images in format %s cannot be written; see 'vmconv formats'", format.Name())
	case byExtension != "" && byExtension != creator.Name():
		return nil, usagef("-O %s contradicts the name %s", f.outFormat, f.output)
	case t != nil && !slices.Contains(t.DiskFormats, creator.Name()):
		return nil, usagef("%s takes %s, not %s", t.Name, strings.Join(t.DiskFormats, " or "), creator.Name())
	}
	return creator, nil
}

// formatOptions reads --opt K=V, and refuses what the format does not know.
func formatOptions(options []string, c imagefmt.Creator) (map[string]string, error) {
	values := map[string]string{}
	for _, o := range options {
		k, v, ok := strings.Cut(o, "=")
		if !ok {
			return nil, usagef("--opt takes K=V, not %q", o)
		}
		i := slices.IndexFunc(c.Options(), func(known imagefmt.Option) bool { return known.Key == k })
		if i < 0 {
			return nil, usagef("%s has no option %q (it has: %s)", c.Name(), k, optionNames(c.Options()))
		}
		if choices := c.Options()[i].Choices; len(choices) > 0 && !slices.Contains(choices, v) {
			return nil, usagef("%s: %s takes %s, not %q", c.Name(), k, strings.Join(choices, ", "), v)
		}
		values[k] = v
	}
	return values, nil
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
	if info, err := os.Stat(disk); err == nil && !info.Mode().IsRegular() {
		return name
	}
	return strings.TrimSuffix(disk, filepath.Ext(disk))
}

// machineName is the source's file name without its extension.
func machineName(path string) string {
	name := filepath.Base(path)
	if stem := strings.TrimSuffix(name, filepath.Ext(name)); stem != "" {
		return stem
	}
	return name
}
