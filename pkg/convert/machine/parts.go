package machine

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// parts is a file that was cut into several (DSP0243, "References": chunkSize).
type parts struct {
	inner blockdev.Device
	files []imagefmt.Source
	name  string
}

var (
	_ imagefmt.Source   = (*parts)(nil)
	_ blockdev.Extenter = (*parts)(nil)
)

func (m *Machine) openParts(d vmdef.Disk) (*parts, error) {
	p := &parts{name: d.File}
	devices := make([]blockdev.Device, 0, len(d.Parts))
	for _, name := range d.Parts {
		file, err := m.sibling(name)
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		p.files, devices = append(p.files, file), append(devices, file)
	}
	p.inner = blockdev.NewConcat(devices...)
	if p.Size() != d.FileSize {
		p.Close()
		return nil, ondisk.Because(ondisk.ErrCorrupt, "its %d parts have %d bytes, and the description says %d", len(p.files), p.Size(), d.FileSize)
	}
	return p, nil
}

func (p *parts) Name() string                                 { return p.name }
func (p *parts) Identity() string                             { return p.files[0].Identity() }
func (p *parts) Size() int64                                  { return p.inner.Size() }
func (p *parts) ReadAt(b []byte, off int64) (int, error)      { return p.inner.ReadAt(b, off) }
func (p *parts) Sibling(name string) (imagefmt.Source, error) { return p.files[0].Sibling(name) }

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
