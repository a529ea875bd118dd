package machine

import (
	"context"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// Summary describes a machine that is not opened.
type Summary struct {
	Kind     Kind
	VM       vmdef.VM
	Disks    []DiskSummary // one for each of VM.Disks
	Warnings []string
}

// DiskSummary is what can be said about a disk by looking at its file alone.
type DiskSummary struct {
	Info     imagefmt.Info
	FileSize int64
	Err      error // why the disk cannot be looked at; then the rest is zero
}

// Describe reads the description of a machine, and looks at each disk without
// opening what its image refers to. A disk that is missing or broken is no error.
// The caller keeps src, which must not be a disk image.
func Describe(ctx context.Context, src imagefmt.Source, o Options) (Summary, error) {
	m, err := load(ctx, src, o)
	if err != nil {
		return Summary{}, err
	}
	s := Summary{Kind: m.Kind, VM: m.VM, Warnings: m.Warnings}
	for _, d := range m.VM.Disks {
		if err := ctx.Err(); err != nil {
			return Summary{}, err
		}
		s.Disks = append(s.Disks, m.summarize(ctx, d, o))
	}
	return s, nil
}

func (m *Machine) summarize(ctx context.Context, d vmdef.Disk, o Options) (s DiskSummary) {
	switch {
	case m.Kind == XVA:
		s.Info, s.Err = m.exportedInfo(ctx, d.File)
		return s
	case d.Blank():
		return DiskSummary{Info: blankInfo(d.Size)}
	}
	file, _, err := m.openFile(ctx, d, o)
	if err != nil {
		return DiskSummary{Err: err}
	}
	defer file.Close()
	format, err := o.Registry.Choose(file, diskFormat(d))
	if err != nil {
		return DiskSummary{Err: err}
	}
	s.FileSize = file.Size()
	if s.Info, s.Err = imagefmt.Describe(ctx, format, file, o.Image); s.Err != nil {
		return DiskSummary{Err: s.Err}
	}
	return s
}

func (m *Machine) exportedInfo(ctx context.Context, ref string) (imagefmt.Info, error) {
	img, err := m.export.Disk(ctx, ref)
	if err != nil {
		return imagefmt.Info{}, err
	}
	defer img.Close()
	return img.Info(), nil
}
