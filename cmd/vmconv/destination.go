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
		opts, err := a.createOptions(f, creator, disks[i], path)
		if err != nil {
			return d, err
		}
		d.Disks = append(d.Disks, convert.DiskFile{Path: path, Named: named, Creator: creator, Options: opts})
	}
	if t == nil {
		return d, nil
	}
	d.Description = stem + ".xml"
	base, err := filepath.Abs(stem)
	d.Kernel, d.Initramfs = base+".vmlinuz", base+".initrd"
	return d, err
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
			if wrapper.Trim(src.path) != src.path {
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
