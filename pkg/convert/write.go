package convert

import (
	"context"
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/convert/target"
	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/fsedit/edit"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// sector is the unit, in bytes, that every format but raw counts a disk's size in.
const sector = 512

// Outputs makes the files of a conversion. They appear under their names when
// all of them are complete; the host's implementation is osfile.Set.
type Outputs interface {
	Create(path string) (imagefmt.Sink, error)
}

// Destination is where one target's files go.
type Destination struct {
	Target      *target.Target // nil for a conversion of the disks alone
	Name        string         // of the machine
	Appliance   Appliance      // everything goes into one file at Path
	Path        string
	Disks       []DiskFile
	Description string // path of the description; empty for none
	Kernel      string // path of a kernel that is started directly
	Initramfs   string
}

// DiskFile is one output disk.
type DiskFile struct {
	Path    string // where it is written
	Named   string // how the description names it
	Creator imagefmt.Creator
	Options imagefmt.CreateOptions
	Layer   bool // only the changes, over the source as the backing file that Options names
}

// Write writes everything that one destination wants. The outputs are still
// temporary afterwards: the caller commits them when all destinations are done.
func (p *Prepared) Write(ctx context.Context, dst Destination, outs Outputs) error {
	if dst.Appliance != NoAppliance {
		if err := p.writeAppliance(ctx, dst, outs); err != nil {
			return fmt.Errorf("%s: %w", dst.Path, err)
		}
		return nil
	}
	for i, d := range dst.Disks {
		if err := p.writeDisk(ctx, p.Request.Disks[i], d, outs); err != nil {
			return fmt.Errorf("%s to %s: %w", p.Request.Disks[i].Name, d.Path, err)
		}
	}
	if dst.Description == "" {
		return nil
	}
	return p.writeDescription(ctx, dst, outs)
}

func (p *Prepared) writeDisk(ctx context.Context, src Disk, dst DiskFile, outs Outputs) error {
	sink, err := outs.Create(dst.Path)
	if err != nil {
		return err
	}
	return p.writeImage(ctx, src, dst, sink)
}

// writeImage writes a disk as an image to sink.
func (p *Prepared) writeImage(ctx context.Context, src Disk, dst DiskFile, sink imagefmt.Sink) error {
	if size := src.Overlay.Size(); size%sector != 0 && dst.Creator.Name() != "raw" {
		p.Notes = append(p.Notes, edit.Warning{Edit: "size", Text: fmt.Sprintf("%s has %d bytes, which is no whole sector; zeros were added", src.Name, size)})
	}
	w, err := dst.Creator.Create(ctx, sink, src.Overlay.Size(), dst.Options)
	if err != nil {
		return err
	}
	if dst.Layer {
		if err := CopyChanges(ctx, w, src.Overlay, p.Request.Watch); err != nil {
			w.Abort()
			return err
		}
		return w.Finish(ctx)
	}
	if dst.Options.Level != 0 {
		src.Image = nil // who names a level wants everything packed with it
	}
	_, pack := w.(imagefmt.BlockWriter)
	saved, err := CopyDisk(ctx, w, src, pack, p.Request.Watch)
	if err != nil {
		w.Abort()
		return err
	}
	p.Saved.Moved += saved.Moved
	p.Saved.Shared += saved.Shared
	return w.Finish(ctx)
}

func (p *Prepared) writeDescription(ctx context.Context, dst Destination, outs Outputs) error {
	var disks []vmdef.Disk
	for i, d := range dst.Disks {
		place := vmdef.Place{Bus: dst.Target.DiskBus, Device: dst.Target.DiskName(i)}
		if i == 0 && p.Direct == nil {
			place.Boot = 1
		}
		disks = append(disks, vmdef.Disk{Place: place, File: d.Named, Format: d.Creator.Name()})
	}
	vm := machine(dst.Name, *dst.Target, p.After, disks)
	carry(&vm, p.Request.VM)
	if p.Direct != nil {
		vm.Kernel = &vmdef.Kernel{Image: dst.Kernel, Args: p.Direct.Args}
		if err := writeFile(ctx, outs, dst.Kernel, p.Direct.Kernel); err != nil {
			return err
		}
		if p.Direct.Initramfs != nil {
			vm.Kernel.Initramfs = dst.Initramfs
			if err := writeFile(ctx, outs, dst.Initramfs, p.Direct.Initramfs); err != nil {
				return err
			}
		}
	}
	text, err := vm.Libvirt()
	if err != nil {
		return err
	}
	return writeFile(ctx, outs, dst.Description, blockdev.FromBytes(text))
}

// writeFile writes a whole small file to a new output.
func writeFile(ctx context.Context, outs Outputs, path string, content blockdev.Device) error {
	sink, err := outs.Create(path)
	if err != nil {
		return err
	}
	r := blockdev.NewReader(content)
	if _, err := io.Copy(&ascending{ctx: ctx, w: sink}, r); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return sink.Sync()
}

// ascending writes one piece after the other to an io.WriterAt.
type ascending struct {
	ctx context.Context
	w   io.WriterAt
	off int64
}

func (a *ascending) Write(p []byte) (int, error) {
	if err := a.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := a.w.WriteAt(p, a.off)
	a.off += int64(n)
	return n, err
}
