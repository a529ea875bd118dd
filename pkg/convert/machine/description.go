package machine

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/tarfile"
)

// openDescription reads a description, and opens the disks that it names beside
// itself.
func (m *Machine) openDescription(ctx context.Context, src imagefmt.Source, kind vmdef.Kind, o Options) error {
	if err := m.describe(ctx, src, kind, o); err != nil {
		return err
	}
	if kind == vmdef.KindOVF {
		if err := m.findManifest(src, strings.TrimSuffix(path.Base(src.Name()), path.Ext(src.Name()))+".mf", o); err != nil {
			return err
		}
	}
	m.src = src
	return m.openDisks(ctx, src, o)
}

// openOVA is the same inside an archive: its members are the files.
func (m *Machine) openOVA(ctx context.Context, src imagefmt.Source, o Options) error {
	archive, err := tarfile.Index(ctx, src, o.Image.Limits)
	if err != nil {
		return fmt.Errorf("%s: %w", src.Name(), err)
	}
	descriptor, manifest := "", ""
	for _, member := range archive.Members() {
		switch ext := strings.ToLower(path.Ext(member.Name)); {
		case ext == ".ovf" && descriptor == "":
			descriptor = member.Name
		case ext == ".mf" && manifest == "":
			manifest = member.Name
		}
	}
	if descriptor == "" {
		return ondisk.At(src.Name(), "archive", ondisk.NoOffset).Format("no .ovf is in it")
	}
	ovf, err := archive.Open(descriptor)
	if err != nil {
		return err
	}
	if err := m.describe(ctx, ovf, vmdef.KindOVF, o); err != nil {
		return err
	}
	if manifest != "" {
		if err := m.findManifest(ovf, manifest, o); err != nil {
			return err
		}
	}
	m.src = src
	return m.openDisks(ctx, ovf, o)
}

// describe parses the description.
func (m *Machine) describe(ctx context.Context, src imagefmt.Source, kind vmdef.Kind, o Options) error {
	text, err := readText(src, o.Image.Limits)
	if err != nil {
		return err
	}
	vms, warnings, err := vmdef.Parse(kind, text, o.Image.Limits)
	if err != nil {
		return fmt.Errorf("%s: %w", src.Name(), err)
	}
	if m.VM, err = pick(vms, o.Name, src.Name()); err != nil {
		return err
	}
	m.Warnings = append(m.Warnings, warnings...)
	for _, r := range m.VM.Removables {
		if r.File != "" {
			m.Warnings = append(m.Warnings, fmt.Sprintf("the %s with %s is left out", r.Kind, r.File))
		}
	}
	return ctx.Err()
}

// readText reads a small file whole.
func readText(src imagefmt.Source, limits ondisk.Limits) ([]byte, error) {
	if limit := limits.OrDefault().Text; src.Size() > limit {
		return nil, ondisk.At(src.Name(), "description", ondisk.NoOffset).TooBig("%d bytes; at most %d are read", src.Size(), limit)
	}
	text := make([]byte, src.Size())
	return text, ondisk.Full(src, text, 0)
}
