package machine

import (
	"context"
	"fmt"
	"strings"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// maxDisks is as many as ESXi attaches to one machine. Each is an open file.
const maxDisks = 256

// openDisks opens the disks that the description names.
func (m *Machine) openDisks(ctx context.Context, o Options) error {
	for i, d := range m.VM.Disks {
		disk, err := m.openDisk(ctx, d, o)
		if err != nil {
			return diskError(i, d, err)
		}
		if disk.Image == nil {
			continue
		}
		if got := disk.Image.Size(); d.Size > 0 && ondisk.AlignUp(got, sector) != ondisk.AlignUp(d.Size, sector) {
			m.Warnings = append(m.Warnings, fmt.Sprintf("%s holds a disk of %d bytes, and the description says %d", disk.Name, got, d.Size))
		}
		m.Disks = append(m.Disks, disk)
	}
	if len(m.Disks) == 0 {
		return ondisk.Because(ondisk.ErrUnsupported, "it describes a machine without disks")
	}
	return nil
}

const sector = 512

func diskError(i int, d vmdef.Disk, err error) error {
	if d.File == "" {
		return fmt.Errorf("disk %d: %w", i+1, err)
	}
	return fmt.Errorf("disk %d, %s: %w", i+1, d.File, err)
}

// openDisk has no image for a blank disk of unknown size, which the description's
// reader has warned of.
func (m *Machine) openDisk(ctx context.Context, d vmdef.Disk, o Options) (Disk, error) {
	limits := o.Image.Limits.OrDefault()
	switch {
	case len(m.Disks) == maxDisks:
		return Disk{}, ondisk.Because(ondisk.ErrTooBig, "more than %d disks", maxDisks)
	case d.Blank() && d.Size > limits.VirtualSize:
		return Disk{}, ondisk.Because(ondisk.ErrTooBig, "a blank disk of %d bytes, over the limit of %d", d.Size, limits.VirtualSize)
	case d.Blank() && d.Size > 0:
		return Disk{Name: fmt.Sprintf("blank disk %d", len(m.Disks)+1), Image: blank{blockdev.Zeros(d.Size)}}, nil
	case d.Blank():
		return Disk{}, nil
	}
	file, named, err := m.openFile(ctx, d, o)
	if err != nil {
		return Disk{}, err
	}
	img, err := o.Registry.Open(ctx, file, diskFormat(d), o.Image)
	if err != nil {
		file.Close()
		return Disk{}, err
	}
	return Disk{Name: file.Name(), Image: img, File: file, Files: named}, nil
}

// diskFormat is what the description tells for sure, and raw above all, whose
// guest writes what would be looked at. The format of an OVF's disk is a URI
// that producers copy from each other, so those are looked at.
func diskFormat(d vmdef.Disk) string {
	if strings.Contains(d.Format, ":") {
		return ""
	}
	return d.Format
}

// openFile opens what holds the image of a disk. named are the files that the
// description names for it.
func (m *Machine) openFile(ctx context.Context, d vmdef.Disk, o Options) (file imagefmt.Source, named []imagefmt.Source, err error) {
	switch {
	case d.Remote != "":
		return nil, nil, ondisk.Because(ondisk.ErrUnsupported, "it lies at %s, which no file holds: copy it here and name the copy", d.Remote)
	case d.Compression != "" && o.Unpack == nil:
		return nil, nil, ondisk.Because(ondisk.ErrUnsupported, "it is packed with %s", d.Compression)
	case len(d.Parts) > 0:
		var p *parts
		if p, err = m.openParts(d); err != nil {
			return nil, nil, err
		}
		file, named = p, p.files
	default:
		if file, err = m.sibling(d.File); err != nil {
			return nil, nil, err
		}
		named = []imagefmt.Source{file}
	}
	if d.Compression != "" {
		file, err = o.Unpack(ctx, file)
	}
	return file, named, err
}
