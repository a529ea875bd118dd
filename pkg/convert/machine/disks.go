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

// openDisks opens the disks that the description names, relative to src.
func (m *Machine) openDisks(ctx context.Context, src imagefmt.Source, o Options) error {
	for i, d := range m.VM.Disks {
		img, err := openDisk(ctx, src, d, o)
		if err != nil {
			return fmt.Errorf("%s: disk %d: %w", src.Name(), i+1, err)
		}
		name := d.File
		if d.Blank() {
			name = fmt.Sprintf("blank disk %d", i+1)
		}
		m.Disks = append(m.Disks, Disk{Name: name, Image: img})
	}
	if len(m.Disks) == 0 {
		return ondisk.Because(ondisk.ErrUnsupported, "%s describes a machine without disks", src.Name())
	}
	return nil
}

func openDisk(ctx context.Context, src imagefmt.Source, d vmdef.Disk, o Options) (imagefmt.Image, error) {
	switch {
	case d.Remote != "":
		return nil, ondisk.Because(ondisk.ErrUnsupported, "it lies at %s, which no file holds: copy it here and name the copy", d.Remote)
	case d.Blank():
		return blank{blockdev.Zeros(d.Size)}, nil
	}
	file, err := openFile(src, d)
	if err != nil {
		return nil, err
	}
	if d.Compression != "" {
		if o.Unpack == nil {
			file.Close()
			return nil, ondisk.Because(ondisk.ErrUnsupported, "%s is packed with %s", d.File, d.Compression)
		}
		if file, err = o.Unpack(ctx, file); err != nil {
			return nil, err
		}
	}
	img, err := o.Registry.Open(ctx, file, diskFormat(d), o.Image)
	if err != nil {
		file.Close()
		return nil, err
	}
	return img, nil
}

// diskFormat is what the description tells for sure. The format of an OVF's disk
// is a URI that producers copy from each other, so those are looked at; but raw
// is believed, since the guest writes what would be looked at.
func diskFormat(d vmdef.Disk) string {
	if strings.Contains(d.Format, ":") {
		return ""
	}
	return d.Format
}

// openFile opens the file of a disk, or the files that it was cut into.
func openFile(src imagefmt.Source, d vmdef.Disk) (imagefmt.Source, error) {
	if len(d.Parts) == 0 {
		return src.Sibling(d.File)
	}
	p := &parts{first: src, name: d.File}
	devices := make([]blockdev.Device, 0, len(d.Parts))
	for _, name := range d.Parts {
		part, err := src.Sibling(name)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.files = append(p.files, part)
		devices = append(devices, part)
	}
	p.inner = blockdev.NewConcat(devices...)
	return p, nil
}

// parts is a file that was cut into several (DSP0243 7.1, ovf:chunkSize).
type parts struct {
	inner blockdev.Device
	files []imagefmt.Source
	first imagefmt.Source // whose siblings they are
	name  string
}

var (
	_ imagefmt.Source   = (*parts)(nil)
	_ blockdev.Extenter = (*parts)(nil)
)

func (p *parts) Name() string                                 { return p.name }
func (p *parts) Identity() string                             { return p.files[0].Identity() }
func (p *parts) Size() int64                                  { return p.inner.Size() }
func (p *parts) ReadAt(b []byte, off int64) (int, error)      { return p.inner.ReadAt(b, off) }
func (p *parts) Sibling(name string) (imagefmt.Source, error) { return p.first.Sibling(name) }
func (p *parts) NextExtent(off, n int64) (blockdev.Extent, error) {
	return blockdev.NextExtent(p.inner, off, n)
}

func (p *parts) Close() (err error) {
	for _, f := range p.files {
		if e := f.Close(); err == nil {
			err = e
		}
	}
	return err
}

// blank is a disk that the hypervisor would have made empty.
type blank struct{ inner blockdev.Device }

func (b blank) Size() int64                             { return b.inner.Size() }
func (b blank) ReadAt(p []byte, off int64) (int, error) { return b.inner.ReadAt(p, off) }
func (b blank) Close() error                            { return nil }

func (b blank) NextExtent(off, n int64) (blockdev.Extent, error) {
	return blockdev.NextExtent(b.inner, off, n)
}

func (b blank) Info() imagefmt.Info {
	return imagefmt.Info{Format: "blank", VirtualSize: b.Size()}
}
