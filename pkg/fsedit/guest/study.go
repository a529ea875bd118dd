package guest

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys/swap"
	"github.com/vmconv/vmconv/pkg/fsedit/initramfs"
)

// study fills in the facts of level Full.
func (in *inspection) study(ctx context.Context, tree *Tree) error {
	f, limits := in.facts, in.opts.Limits
	in.openAll()
	boot := findBootCode(in.sources)
	var entries []bootEntry
	steps := []func(){
		func() { f.OS = readOS(tree, limits.Text); readSystem(tree, limits.Text, &f.OS) },
		func() {
			var warnings []string
			f.Firmware.ESPs = in.findESPs(tree)
			f.Loaders, entries, warnings = findLoaders(tree, limits.Text, boot, f.Firmware.ESPs)
			f.Warnings = append(f.Warnings, warnings...)
		},
		func() { f.Kernels = findKernels(tree, limits.Text, entries) },
		func() { f.NICs = readNICs(tree, limits.Text) },
		func() {
			packages, err := dpkgPackages(tree, limits)
			if err != nil && f.OS.PackageFormat == "deb" {
				in.warn("package database: %v", err)
			}
			f.Packages = packages
		},
		func() { f.SELinux = readSELinux(tree, limits.Text, f.Kernels) },
		func() { f.Firmware = findFirmware(tree, in.sources, boot, f) },
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		step()
	}
	if in.opts.Level >= Deep {
		return in.generators(ctx, tree)
	}
	return nil
}

// generators tells of each initramfs what made it.
func (in *inspection) generators(ctx context.Context, tree *Tree) error {
	for i := range in.facts.Kernels {
		k := &in.facts.Kernels[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		if k.Initramfs == "" {
			continue
		}
		dev, err := tree.Open(k.Initramfs)
		if err == nil {
			var image *initramfs.Image
			if image, err = initramfs.Read(dev, dev.Size(), initramfs.Options{Limits: in.opts.Limits}); err == nil {
				k.Generator = string(image.Generator().Kind)
			}
		}
		if err != nil {
			in.warn("%s: %v", k.Initramfs, err)
		}
	}
	return nil
}

// openAll opens what can be opened, for what only the whole volume tells: why it
// cannot be edited, and what it wants known.
func (in *inspection) openAll() {
	for i := range in.facts.Filesystems {
		f := &in.facts.Filesystems[i]
		s := in.source(f.Volume)
		f.Layers = in.layers(f.Volume)
		if in.openedOn(f.Volume) != f.Volume {
			continue
		}
		if s.Open == nil {
			f.ReadOnly = f.Type + " cannot be opened yet"
			if s.Volume.Locked != nil {
				f.ReadOnly = s.Volume.Locked.Error()
			}
			continue
		}
		v, _, err := s.Open()
		if v == nil {
			f.ReadOnly = fmt.Sprint(err)
			in.warnOnce(f.Volume, f.ReadOnly)
			continue
		}
		info := v.Info()
		f.ReadOnly, f.Features, f.Replayed = info.ReadOnly, info.Features, info.Replayed
		for _, n := range info.Notices {
			if n == swap.Hibernated {
				in.facts.Hibernated = f.Volume
			}
			in.warnOnce(f.Volume, n)
		}
	}
}

func (in *inspection) warnOnce(volume, text string) {
	line := volume + ": " + text
	for _, w := range in.facts.Warnings {
		if w == line {
			return
		}
	}
	in.facts.Warnings = append(in.facts.Warnings, line)
}
