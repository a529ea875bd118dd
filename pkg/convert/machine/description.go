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

// loadDescription reads a description whose files lie beside it.
func (m *Machine) loadDescription(ctx context.Context, src imagefmt.Source, o Options) error {
	m.descriptor = src
	if m.Kind == OVF {
		m.manifest = manifestOf(path.Base(strings.ReplaceAll(src.Name(), `\`, "/")))
	}
	return m.describe(ctx, vmdef.Kind(m.Kind), o)
}

// loadOVA is the same inside an archive: its members are the files.
func (m *Machine) loadOVA(ctx context.Context, src imagefmt.Source, o Options) error {
	archive, err := tarfile.Index(ctx, src, o.Image.Limits)
	if err != nil {
		return err
	}
	descriptor, manifest := packageFiles(archive.Members())
	if descriptor == "" {
		return ondisk.At("ova", "archive", ondisk.NoOffset).Format("no .ovf is in it")
	}
	if m.descriptor, err = archive.Open(descriptor); err != nil {
		return err
	}
	m.manifest = manifest
	return m.describe(ctx, vmdef.KindOVF, o)
}

// packageFiles finds the descriptor, which is the first one, and its manifest,
// which has the descriptor's name (DSP0243, "Distribution") or is the only one.
// The manifest's name is relative to the descriptor.
func packageFiles(members []tarfile.Member) (descriptor, manifest string) {
	var manifests []string
	for _, m := range members {
		switch {
		case descriptor == "" && isExtension(m.Name, ".ovf"):
			descriptor = m.Name
		case isExtension(m.Name, ".mf"):
			manifests = append(manifests, m.Name)
		}
	}
	for _, name := range manifests {
		if path.Dir(name) == path.Dir(descriptor) && (len(manifests) == 1 || strings.EqualFold(name, manifestOf(descriptor))) {
			return descriptor, path.Base(name)
		}
	}
	return descriptor, ""
}

func manifestOf(descriptor string) string {
	return strings.TrimSuffix(descriptor, path.Ext(descriptor)) + ".mf"
}

// describe parses the descriptor.
func (m *Machine) describe(ctx context.Context, kind vmdef.Kind, o Options) error {
	text, err := readText(m.descriptor, o.Image.Limits)
	if err != nil {
		return err
	}
	vms, warnings, err := vmdef.Parse(kind, text, o.Image.Limits)
	if err != nil {
		return err
	}
	if m.VM, err = pick(vms, o.Name); err != nil {
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
		return nil, ondisk.At("description", "text", ondisk.NoOffset).TooBig("%d bytes; at most %d are read", src.Size(), limit)
	}
	text := make([]byte, src.Size())
	return text, ondisk.Full(src, text, 0)
}

// namesShown is how many machines an error lists.
const namesShown = 20

// pick chooses among the machines of one description.
func pick(vms []vmdef.VM, name string) (vmdef.VM, error) {
	var names []string
	for _, vm := range vms {
		if name != "" && vm.Name == name {
			return vm, nil
		}
		names = append(names, fmt.Sprintf("%q", vm.Name))
	}
	if len(names) > namesShown {
		names = append(names[:namesShown], "…")
	}
	list := strings.Join(names, ", ")
	switch {
	case len(vms) == 0:
		return vmdef.VM{}, ondisk.Because(ondisk.ErrUnsupported, "it describes no machine")
	case name != "":
		return vmdef.VM{}, ondisk.Because(ondisk.ErrAmbiguous, "it describes no machine %q, but %s", name, list)
	case len(vms) > 1:
		return vmdef.VM{}, ondisk.Because(ondisk.ErrAmbiguous, "it describes %d machines: choose with --vm among %s", len(vms), list)
	}
	return vms[0], nil
}
