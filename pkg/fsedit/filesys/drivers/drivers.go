// Package drivers lists the filesystems that can be opened, and names the ones
// that cannot. It is the one place that imports every driver.
package drivers

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/ext"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/fat"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/iso9660"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/signature"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/squashfs"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/swap"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/xfs"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Default is every driver, in the order in which they are asked.
func Default() []filesys.Driver {
	return []filesys.Driver{ext.Driver{}, xfs.Driver{}, swap.Driver{}, squashfs.Driver{}, iso9660.Driver{}, fat.Driver{}}
}

// Content is what a device holds.
type Content struct {
	filesys.Ident
	Driver filesys.Driver // nil when it is known by name only
}

// Known reports whether anything was recognised.
func (c Content) Known() bool { return c.Type != "" }

// Identify finds out what dev holds: what contains volumes first, since a leg of
// a mirror looks like its filesystem; then what a driver opens; then what is
// known by name. An error means that dev cannot be read.
func Identify(list []filesys.Driver, dev blockdev.Device) (Content, error) {
	if id, match, err := signature.Container(dev); err != nil || match != ondisk.None {
		return Content{Ident: id}, err
	}
	var maybe Content
	for _, d := range list {
		match, id, err := d.Probe(dev)
		if err != nil {
			return Content{}, err
		}
		if match == ondisk.Sure {
			return Content{Ident: id, Driver: d}, nil
		}
		if match == ondisk.Maybe && maybe.Driver == nil {
			maybe = Content{Ident: id, Driver: d}
		}
	}
	id, match, err := signature.Foreign(dev)
	if err != nil || match != ondisk.None {
		return Content{Ident: id}, err
	}
	return maybe, nil
}

// Conflicts is the types that dev shows beside the one that [Identify] gives:
// while there are any, nothing on dev may be called free.
func Conflicts(list []filesys.Driver, dev blockdev.Device, c Content) ([]string, error) {
	var others []string
	note := func(id filesys.Ident, match ondisk.Match) {
		if match != ondisk.None && id.Type != c.Type {
			others = append(others, id.Type)
		}
	}
	for _, look := range []func(blockdev.Device) (filesys.Ident, ondisk.Match, error){signature.Container, signature.Foreign} {
		id, match, err := look(dev)
		if err != nil {
			return nil, err
		}
		note(id, match)
	}
	for _, d := range list {
		match, id, err := d.Probe(dev)
		if err != nil {
			return nil, err
		}
		note(id, match)
	}
	return others, nil
}
