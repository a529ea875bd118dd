// Package machine opens what a user calls a machine: a disk image, an appliance
// (OVA, XVA), or the description of a machine beside its disks (OVF, VMX, libvirt
// XML, a configuration of xl). Whatever it is, what comes out is a description
// and a list of open disks.
//
//	disk image ─────────────────────────────────────────────► one disk
//	tar: *.ovf first ──► description, members of the archive ─► disks
//	tar: ova.xml first ► description, chunks of the archive ──► disks
//	text ──vmdef.Parse──► description, files beside it ───────► disks
//
// Nothing is unpacked to disk here, and no description can name a file that
// Source.Sibling refuses.
package machine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
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

	src      imagefmt.Source // of a description or an archive; nil for an image, which owns its own
	manifest []checked
}

// Disk is one disk of a machine, in the order that the guest sees.
type Disk struct {
	Name  string // for messages
	Image imagefmt.Image
}

// Options are for opening a machine. Registry is required.
type Options struct {
	Registry *imagefmt.Registry
	Format   string // of a disk image, or one of [Kinds]; "" looks
	Name     string // which machine of a description that has several
	Image    imagefmt.OpenOptions
	// Unpack takes the compression off a whole file; it owns src. nil refuses
	// such files.
	Unpack func(ctx context.Context, src imagefmt.Source) (imagefmt.Source, error)
}

// Open opens a machine. It owns src from then on; on an error the caller keeps
// it. Disks are opened in the format that the description tells for sure, and
// are looked at otherwise.
func Open(ctx context.Context, src imagefmt.Source, o Options) (*Machine, error) {
	kind, err := choose(ctx, src, o)
	if err != nil {
		return nil, err
	}
	m := &Machine{Kind: kind}
	switch kind {
	case Image:
		err = m.openImage(ctx, src, o)
	case OVA:
		err = m.openOVA(ctx, src, o)
	case XVA:
		err = m.openXVA(ctx, src, o)
	default:
		err = m.openDescription(ctx, src, vmdef.Kind(kind), o)
	}
	if err != nil {
		m.closeDisks()
		return nil, err
	}
	return m, nil
}

func (m *Machine) openImage(ctx context.Context, src imagefmt.Source, o Options) error {
	img, err := o.Registry.Open(ctx, src, o.Format, o.Image)
	if err != nil {
		return err
	}
	m.Disks = []Disk{{Name: src.Name(), Image: img}}
	return nil
}

// choose is what -f says, or what the first bytes look like.
func choose(ctx context.Context, src imagefmt.Source, o Options) (Kind, error) {
	if k := Kind(strings.ToLower(o.Format)); slices.Contains(Kinds(), k) {
		return k, nil
	}
	if o.Format != "" {
		return Image, nil
	}
	return Detect(ctx, src)
}

// Close closes the disks and the archive.
func (m *Machine) Close() error {
	err := m.closeDisks()
	for _, c := range m.manifest {
		if e := c.src.Close(); err == nil {
			err = e
		}
	}
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

// pick chooses among the machines of one description.
func pick(vms []vmdef.VM, name, source string) (vmdef.VM, error) {
	var names []string
	for _, vm := range vms {
		if name != "" && vm.Name == name {
			return vm, nil
		}
		names = append(names, fmt.Sprintf("%q", vm.Name))
	}
	switch {
	case len(vms) == 0:
		return vmdef.VM{}, ondisk.Because(ondisk.ErrUnsupported, "%s describes no machine", source)
	case name != "":
		return vmdef.VM{}, ondisk.Because(ondisk.ErrAmbiguous, "%s has no machine %q, but %s", source, name, strings.Join(names, ", "))
	case len(vms) > 1:
		return vmdef.VM{}, ondisk.Because(ondisk.ErrAmbiguous, "%s describes %d machines: choose with --vm among %s", source, len(vms), strings.Join(names, ", "))
	}
	return vms[0], nil
}
