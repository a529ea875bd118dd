package main

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/vmconv/vmconv/pkg/convert"
	"github.com/vmconv/vmconv/pkg/convert/machine"
	"github.com/vmconv/vmconv/pkg/fsedit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
)

// access is what a command does with the images.
type access int

const (
	readOnly  access = iota
	readWrite        // the overlay ends as a transaction on the images
)

// inPlaceMemory is how many changed bytes a disk keeps in memory when it is
// changed where it lies. They are held twice then: as the guest's disk, and as
// the image file.
const inPlaceMemory = 24 << 20

// session is the open disks of one machine. All changes land on the overlays.
type session struct {
	disks   []*disk
	machine *machine.Machine // of a SOURCE that is only read; nil for disks given by -a
	txn     *osfile.Txn      // of readWrite
	spills  []*osfile.Spill  // one for each overlay that outgrew memory
}

type disk struct {
	path    string
	files   []imagefmt.Source // of the host, that the user or the description names
	packed  bool              // it lies inside an archive
	image   imagefmt.Image
	update  imagefmt.WritableImage // of readWrite; the same as image
	overlay *blockdev.Overlay
}

// openDisks opens the disks of a machine in order: of a SOURCE, or those that -a
// gave one by one.
func (a *app) openDisks(ctx context.Context, f *imageFlags, paths []string, mode access) (*session, error) {
	s := &session{}
	memory := int64(0) // the default
	if mode == readWrite {
		memory = inPlaceMemory
		s.txn = osfile.Begin(osfile.TxnOptions{Options: a.siblings(f), Memory: memory, Spill: s.openSpill})
	}
	if err := a.openInto(ctx, s, f, paths); err != nil {
		s.Close()
		return nil, err
	}
	for _, d := range s.disks {
		d.overlay = blockdev.NewOverlay(d.image, blockdev.OverlayOptions{Memory: memory, Spill: s.openSpill})
		info := d.image.Info()
		a.ui.debug(d.path, "%s %s, %s", info.Format, info.Variant, humanSize(info.VirtualSize))
		for _, n := range info.Notices {
			a.ui.warn(d.path, n.ID, n.Text)
		}
	}
	return s, nil
}

func (a *app) openInto(ctx context.Context, s *session, f *imageFlags, paths []string) error {
	if len(f.disks) == 0 && s.txn == nil {
		return a.openMachineSource(ctx, s, f, paths[0])
	}
	for _, path := range paths {
		d, err := a.openDisk(ctx, f, path, s.txn)
		if err != nil {
			return err
		}
		s.disks = append(s.disks, d)
	}
	return nil
}

// openMachineSource opens a SOURCE, which may be more than a disk image.
func (a *app) openMachineSource(ctx context.Context, s *session, f *imageFlags, path string) error {
	m, named, err := a.openSourceMachine(ctx, f, path)
	if err != nil {
		return err
	}
	s.machine = m
	for _, text := range m.Warnings {
		a.ui.warn(path, "description", text)
	}
	for _, d := range m.Disks {
		s.disks = append(s.disks, sourceDisk(m, d, path, named))
	}
	return nil
}

// openSourceMachine opens what is at path; named is the file that the user named.
func (a *app) openSourceMachine(ctx context.Context, f *imageFlags, path string) (*machine.Machine, imagefmt.Source, error) {
	src, named, err := a.openSource(ctx, f, path)
	if err != nil {
		return nil, nil, err
	}
	m, err := machine.Open(ctx, src, a.machineOptions(f))
	if err != nil {
		src.Close()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, named, nil
}

func (a *app) machineOptions(f *imageFlags) machine.Options {
	return machine.Options{
		Registry: a.registry, Format: f.format, Name: f.machine,
		Unpack: func(ctx context.Context, src imagefmt.Source) (imagefmt.Source, error) {
			return a.unpackFile(ctx, f, src)
		},
	}
}

// sourceDisk is a disk of the machine at path.
func sourceDisk(m *machine.Machine, d machine.Disk, path string, named imagefmt.Source) *disk {
	out := &disk{path: d.Name, files: []imagefmt.Source{named}, image: d.Image}
	if m.Kind == machine.Image {
		out.path = path
		return out
	}
	if out.packed = m.Kind == machine.OVA || m.Kind == machine.XVA; !out.packed {
		out.files = append(out.files, d.Files...)
	}
	return out
}

// openDisk opens a disk image that -a named, for changes when there is a
// transaction.
func (a *app) openDisk(ctx context.Context, f *imageFlags, path string, txn *osfile.Txn) (*disk, error) {
	if txn != nil {
		return a.openForUpdate(ctx, f, path, txn)
	}
	src, named, err := a.openSource(ctx, f, path)
	if err != nil {
		return nil, err
	}
	img, err := a.openImage(ctx, f, src)
	if err != nil {
		src.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &disk{path: path, files: []imagefmt.Source{named}, image: img}, nil
}

// openImage opens what has to be a disk, since -a builds a machine of disks. An
// export of XenServer with one disk is an image, too.
func (a *app) openImage(ctx context.Context, f *imageFlags, src imagefmt.Source) (imagefmt.Image, error) {
	kind, err := machine.KindOf(ctx, src, a.machineOptions(f))
	switch {
	case err != nil:
		return nil, err
	case kind != machine.Image && kind != machine.XVA:
		return nil, ondisk.Because(ondisk.ErrUnsupported, "it is no disk but a machine (%s): name it as SOURCE, without -a", kind)
	}
	return a.registry.Open(ctx, src, f.format, imagefmt.OpenOptions{})
}

func (a *app) openForUpdate(ctx context.Context, f *imageFlags, path string, txn *osfile.Txn) (*disk, error) {
	if path == stdinName {
		return nil, usagef("stdin cannot be changed where it lies")
	}
	file, err := txn.File(ctx, path)
	if err != nil {
		return nil, err
	}
	if f.format == "" {
		if err := onlyImages(ctx, file); err != nil {
			return nil, err
		}
	}
	img, err := a.registry.OpenUpdate(ctx, file, f.format, imagefmt.OpenOptions{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &disk{path: path, files: []imagefmt.Source{file}, image: img, update: img}, nil
}

// onlyImages refuses what cannot be changed where it lies, before it is taken
// for a raw disk.
func onlyImages(ctx context.Context, file imagefmt.Source) error {
	w, err := detectWrapper(file)
	if err != nil {
		return err
	}
	if w != nil {
		return ondisk.Because(ondisk.ErrUnsupported, "%s is packed with %s: unpack it first, or use convert", file.Name(), w)
	}
	kind, err := machine.Detect(ctx, file, ondisk.Limits{})
	if err != nil || kind == machine.Image {
		return err
	}
	return ondisk.Because(ondisk.ErrUnsupported, "%s (%s) is not changed where it lies: name its disk images, or use convert", file.Name(), kind)
}

// siblings is the policy about files that an image names.
func (a *app) siblings(f *imageFlags) osfile.Options {
	if f.external {
		return osfile.Options{Siblings: osfile.Anywhere}
	}
	return osfile.Options{}
}

// openSpill makes the file that takes an overlay's changes beyond memory.
func (s *session) openSpill() (blockdev.SpillFile, error) {
	f, err := osfile.NewSpill("")
	if err == nil {
		s.spills = append(s.spills, f)
	}
	return f, err
}

// Close lets go of everything; what was not committed is gone.
func (s *session) Close() {
	if s.machine != nil {
		s.machine.Close()
	} else {
		for _, d := range s.disks {
			d.image.Close()
		}
	}
	if s.txn != nil {
		s.txn.Close()
	}
	for _, f := range s.spills {
		f.Close()
	}
}

// commit carries the overlays into the images, in one transaction over all.
func (s *session) commit(ctx context.Context, watch ondisk.Observer) error {
	for _, d := range s.disks {
		if err := convert.ApplyInPlace(ctx, d.update, d.overlay, watch); err != nil {
			return fmt.Errorf("%s: %w", d.path, err)
		}
	}
	return s.txn.Commit(ctx)
}

func (s *session) devices() []blockdev.Device {
	out := make([]blockdev.Device, len(s.disks))
	for i, d := range s.disks {
		out[i] = d.overlay
	}
	return out
}

func (s *session) sources() []imagefmt.Source {
	var out []imagefmt.Source
	for _, d := range s.disks {
		out = append(out, d.files...)
	}
	return out
}

// mode is the strictest permission of the sources: an output is never readable
// by more people than what it was made from.
func (s *session) mode() fs.FileMode {
	mode := fs.FileMode(0o666)
	for _, src := range s.sources() {
		mode &= osfile.Mode(src)
	}
	return mode | 0o600
}

// guestSession is a session with its guest.
type guestSession struct {
	*session
	*fsedit.Machine
}

// openMachine opens the disks and finds the guest on them, at the depth that
// reading its files needs.
func (a *app) openMachine(ctx context.Context, f *imageFlags, paths []string, mode access) (*guestSession, error) {
	return a.openMachineAt(ctx, f, paths, mode, guest.Mounts)
}

func (a *app) openMachineAt(ctx context.Context, f *imageFlags, paths []string, mode access, level guest.Level) (*guestSession, error) {
	ring, err := a.keyring(ctx, &f.keys)
	if err != nil {
		return nil, err
	}
	s, err := a.openDisks(ctx, f, paths, mode)
	if err != nil {
		return nil, err
	}
	m, err := fsedit.Open(ctx, s.devices(), fsedit.Options{Root: f.root, Mounts: f.mounts, Level: level, Keys: ring})
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("%s: %w", paths[0], err)
	}
	return &guestSession{session: s, Machine: m}, nil
}

// sourceDateEpoch is the time for new files that SOURCE_DATE_EPOCH sets; zero
// when it does not.
func sourceDateEpoch(lookup func(string) (string, bool)) time.Time {
	text, ok := lookup("SOURCE_DATE_EPOCH")
	if !ok {
		return time.Time{}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
