package guest

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Level is how much is found out about a guest. What one command does not need
// it does not pay for.
type Level int

const (
	Volumes Level = iota // no system is looked for
	Mounts               // the root and fstab: to read and edit files
	Full                 // everything in Facts but Kernel.Generator
	Deep                 // Kernel.Generator too: every initramfs is unpacked once
)

// Options tune [Inspect].
type Options struct {
	// Root names the volume of the system to choose: an ID ("sda1", "/dev/sda1"),
	// a filesystem's UUID, or any name that fstab may use. Empty: there must be
	// one system.
	Root   string
	Level  Level
	Limits ondisk.Limits
}

// Source is a volume as Inspect looks into it.
type Source struct {
	Volume volume.Volume
	Ident  filesys.Ident // what it holds; Type is empty when nothing is known
	// Open opens the filesystem, once; nil when no driver can.
	Open func() (filesys.Volume, filesys.FS, error)
}

// Inspect finds the system on the volumes and states what it is. A guest without
// a system is no error: Facts.Root is empty then, and the tree says why whenever
// it is read. [ondisk.ErrAmbiguous] lists the systems among which the user has to
// choose. Trouble with volumes that the system does not need is a warning.
func Inspect(ctx context.Context, sources []Source, opts Options) (*Tree, *Facts, error) {
	opts.Limits = opts.Limits.OrDefault()
	facts := &Facts{Filesystems: filesystems(sources), Mounts: []Mount{}, Kernels: []Kernel{}, Loaders: []Loader{}}
	in := &inspection{sources: sources, opts: opts, facts: facts, devices: NewDevices(facts.Filesystems)}
	if opts.Level == Volumes {
		return EmptyTree(ondisk.Because(ondisk.ErrUnsupported, "no system was looked for")), facts, nil
	}
	root, err := in.chooseRoot(ctx)
	if err != nil {
		return nil, nil, err
	}
	if root == nil {
		return EmptyTree(in.noSystem()), facts, nil
	}
	facts.Root = root.source.Volume.ID
	tree := in.mount(root)
	if opts.Level >= Full {
		if err := in.study(ctx, tree); err != nil {
			return nil, nil, err
		}
	}
	return tree, facts, nil
}

// inspection is one run of Inspect.
type inspection struct {
	sources []Source
	opts    Options
	facts   *Facts
	devices *Devices
	unread  []error // why volumes could not be looked into
	named   []error // what was recognised and is no system that counts
}

func (in *inspection) warn(format string, args ...any) {
	in.facts.Warnings = append(in.facts.Warnings, fmt.Sprintf(format, args...))
}

func filesystems(sources []Source) []Filesystem {
	out := []Filesystem{}
	for _, s := range sources {
		if s.Ident.Type == "" {
			continue
		}
		v := s.Volume
		out = append(out, Filesystem{Volume: v.ID, Disk: v.Disk, Number: v.Number, Type: s.Ident.Type,
			UUID: s.Ident.UUID, Label: s.Ident.Label, Size: v.Len, Names: v.Names})
		if v.Number > 0 {
			out[len(out)-1].PartUUID, out[len(out)-1].PartLabel = v.UUID, v.Label
		}
	}
	return out
}

func (in *inspection) source(id string) *Source {
	for i := range in.sources {
		if in.sources[i].Volume.ID == id {
			return &in.sources[i]
		}
	}
	return nil
}

// mount joins the filesystems that fstab names over the root.
func (in *inspection) mount(root *candidate) *Tree {
	in.nameOpened(root.view)
	m := resolveFstab(root.fstab, in.devices, root.source.Volume.ID)
	in.facts.Mounts, in.facts.Swaps = m.mounts, m.swaps
	in.facts.Warnings = append(in.facts.Warnings, m.warnings...)
	var mounted []Mounted
	for _, mt := range m.mounts {
		if s := in.source(mt.Volume); s != nil {
			mounted = append(mounted, Mounted{Path: mt.Path, Volume: mt.Volume, Open: s.opener()})
		} else if why := in.locked(); why != nil && mt.expected() {
			mounted = append(mounted, Mounted{Path: mt.Path, Open: func() (filesys.Volume, filesys.FS, error) { return nil, nil, why }})
		}
	}
	for _, mt := range in.unmountedESPs(mounted) {
		in.facts.Mounts = append(in.facts.Mounts, mt)
		mounted = append(mounted, Mounted{Path: mt.Path, Volume: mt.Volume, Open: in.source(mt.Volume).opener(), Private: isPrivate(mt.Path)})
	}
	return NewTree(mounted)
}

// opener opens the source, or says what is missing to do so.
func (s *Source) opener() func() (filesys.Volume, filesys.FS, error) {
	if s.Open != nil {
		return s.Open
	}
	return func() (filesys.Volume, filesys.FS, error) { return nil, nil, s.unreadable() }
}

// unreadable is why a source without a driver cannot be opened.
func (s *Source) unreadable() error {
	if s.Volume.Locked != nil {
		return s.Volume.Locked
	}
	switch s.Ident.Type {
	case "":
		return ondisk.Because(ondisk.ErrFormat, "%s holds nothing that is known", s.Volume.ID)
	case "crypto_LUKS", "BitLocker":
		return ondisk.Because(ondisk.ErrEncrypted, "%s is encrypted (%s), which cannot be opened yet", s.Volume.ID, s.Ident.Type)
	}
	return ondisk.Because(ondisk.ErrUnsupported, "%s holds %s, which cannot be opened yet", s.Volume.ID, s.Ident.Type)
}
