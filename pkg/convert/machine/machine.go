// Package machine opens what a user calls a machine: a disk image, an appliance
// (OVA, XVA), or the description of a machine beside its disks (OVF, VMX, libvirt
// XML, a configuration of xl). Whatever it is, what comes out is a description
// and a list of open disks.
//
//	disk image ─────────────────────────────────────────────► one disk
//	tar with *.ovf ──────► description, members of the archive ─► disks
//	tar, ova.xml first ──► description, chunks of the archive ──► disks
//	text ──vmdef.Parse───► description, files beside it ────────► disks
//
// Nothing is unpacked to disk here, and no description can name a file that
// Source.Sibling refuses.
package machine

import (
	"context"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/xva"
)

// Kind is what a source is.
type Kind string

const (
	Image   Kind = "image" // a disk image of a format of the registry
	OVA     Kind = "ova"
	XVA     Kind = "xva"
	OVF     Kind = Kind(vmdef.KindOVF)
	VMX     Kind = Kind(vmdef.KindVMX)
	Libvirt Kind = Kind(vmdef.KindLibvirt)
	XL      Kind = Kind(vmdef.KindXL)
)

// Kinds are those that -f may name besides the image formats.
func Kinds() []Kind { return []Kind{OVA, XVA, OVF, VMX, Libvirt, XL} }

// Machine is an open source. Close closes everything.
type Machine struct {
	Kind     Kind
	VM       vmdef.VM // zero for a disk image
	Disks    []Disk
	Warnings []string // about the description

	src        imagefmt.Source // of a description or an archive; nil for an image, which owns its own
	descriptor imagefmt.Source // whose siblings the machine's files are; nil for an image and an XVA
	manifest   string          // name of the manifest beside the descriptor; "" for none
	export     *xva.Archive    // of an XVA
	files      int             // that the disks consist of
}

// Disk is one disk of a machine, in the order that the guest sees.
type Disk struct {
	Name  string // for messages: the path of its file
	Image imagefmt.Image
	// File is what Image was opened from; nil for a blank disk and in an XVA.
	File imagefmt.Source
	// Files are those that the description names for the disk. They may be
	// closed, where the disk was unpacked.
	Files []imagefmt.Source
}

// Options are for opening a machine. Registry is required.
type Options struct {
	Registry *imagefmt.Registry
	Format   string // of a disk image, or one of [Kinds]; "" looks
	Name     string // which machine of a description that has several
	Image    imagefmt.OpenOptions
	// Unpack takes the compression off a whole file that the description calls
	// packed. It owns src, on an error too. nil refuses such files.
	Unpack func(ctx context.Context, src imagefmt.Source) (imagefmt.Source, error)
}

// Open opens a machine. It owns src from then on; on an error the caller keeps
// it. Disks are opened in the format that the description tells for sure, and
// are looked at otherwise. Errors do not repeat src's name.
func Open(ctx context.Context, src imagefmt.Source, o Options) (*Machine, error) {
	m, err := load(ctx, src, o)
	if err != nil {
		return nil, err
	}
	switch m.Kind {
	case Image:
		err = m.openImage(ctx, src, o)
	case XVA:
		m.src, err = src, m.openExported(ctx)
	default:
		m.src, err = src, m.openDisks(ctx, o)
	}
	if err != nil {
		m.closeDisks()
		return nil, err
	}
	return m, nil
}

// load reads the description, and opens no disk.
func load(ctx context.Context, src imagefmt.Source, o Options) (*Machine, error) {
	kind, err := KindOf(ctx, src, o)
	if err != nil {
		return nil, err
	}
	m := &Machine{Kind: kind}
	switch kind {
	case Image:
	case OVA:
		err = m.loadOVA(ctx, src, o)
	case XVA:
		err = m.loadXVA(ctx, src, o)
	default:
		err = m.loadDescription(ctx, src, o)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// KindOf is what Options.Format says, or what [Detect] finds.
func KindOf(ctx context.Context, src imagefmt.Source, o Options) (Kind, error) {
	if k := Kind(strings.ToLower(o.Format)); slices.Contains(Kinds(), k) {
		return k, nil
	}
	if o.Format != "" {
		return Image, nil
	}
	return Detect(ctx, src, o.Image.Limits)
}

func (m *Machine) openImage(ctx context.Context, src imagefmt.Source, o Options) error {
	img, err := o.Registry.Open(ctx, src, o.Format, o.Image)
	if err != nil {
		return err
	}
	m.Disks = []Disk{{Name: src.Name(), Image: img, File: src, Files: []imagefmt.Source{src}}}
	return nil
}

// Close closes the disks, and the description or the archive.
func (m *Machine) Close() error {
	err := m.closeDisks()
	if m.src != nil {
		if e := m.src.Close(); err == nil {
			err = e
		}
	}
	return err
}

func (m *Machine) closeDisks() (err error) {
	for _, d := range m.Disks {
		if e := d.Image.Close(); err == nil {
			err = e
		}
	}
	m.Disks = nil
	return err
}
