package convert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmconv/vmconv/pkg/convert/target"
	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/fsedit"
	"github.com/vmconv/vmconv/pkg/fsedit/bootcheck"
	"github.com/vmconv/vmconv/pkg/fsedit/edit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Disk is one disk of the machine: the source image, and the overlay over it
// that takes all changes.
type Disk struct {
	Name    string // as the user gave it
	Image   imagefmt.Image
	Overlay *blockdev.Overlay
}

// Request is what to convert, and what for.
type Request struct {
	Disks   []Disk
	VM      vmdef.VM        // what the source says of the machine; zero for bare disks
	Targets []target.Target // none: the disks are converted exactly, the guest is left alone
	Root    string          // which system, when the disks hold several
	Drop    Drop
	InPlace bool     // the disks are changed where they lie: nothing is dropped or moved out
	Layer   bool     // the outputs lie over the sources: nothing is dropped
	Accept  []string // ids of required checks that may fail
	Now     time.Time
	Keys    *volume.Keyring
	Limits  ondisk.Limits
	Watch   ondisk.Observer
}

// Drop says what happens to blocks that the guest's filesystems call free.
type Drop int

const (
	DropAuto  Drop = iota // drop with targets, keep without
	DropFree              // always
	DropNever             // the output is exact to the byte
)

// Prepared is a conversion that is complete in memory: the overlays hold every
// change, and nothing is written yet.
type Prepared struct {
	Request Request
	Before  *guest.Facts // nil when the guest was left alone
	After   *guest.Facts
	Changes []edit.Change
	Checks  []bootcheck.Row
	Notes   []edit.Warning
	Dropped int64   // bytes of free blocks that are not copied
	Saved   Saved   // bytes of the disks that cost less than a copy
	Direct  *Direct // kernel to start directly, for a disk without a boot loader
}

// Direct is a kernel that the hypervisor starts itself.
type Direct struct {
	Kernel, Initramfs blockdev.Device
	Args              string
}

// Prepare works a conversion out: opens the guest, plans the edits, applies them
// to the overlays, and checks on the result that the guest will start.
func Prepare(ctx context.Context, req Request) (*Prepared, error) {
	p := &Prepared{Request: req}
	if len(req.Targets) > 0 {
		if err := p.edit(ctx); err != nil {
			return nil, err
		}
		if err := p.verify(ctx); err != nil {
			return p, err
		}
	}
	if err := p.discard(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Prepared) open(ctx context.Context, level guest.Level) (*fsedit.Machine, error) {
	devices := make([]blockdev.Device, len(p.Request.Disks))
	for i, d := range p.Request.Disks {
		devices[i] = d.Overlay
	}
	return fsedit.Open(ctx, devices, fsedit.Options{Root: p.Request.Root, Level: level, Keys: p.Request.Keys, Limits: p.Request.Limits})
}

// edit plans all changes on a staged tree and applies them to the overlays.
func (p *Prepared) edit(ctx context.Context) error {
	m, err := p.open(ctx, guest.Full)
	if err != nil {
		return err
	}
	if m.Facts.Root == "" {
		_, why := m.Tree.Stat("/")
		if errors.Is(why, ondisk.ErrEncrypted) {
			return fmt.Errorf("%s cannot be made to start on a target: %w", p.Request.Disks[0].Name, why)
		}
		return ondisk.Because(ondisk.ErrUnsupported, "%s cannot be made to start on a target: %v", p.Request.Disks[0].Name, why)
	}
	p.Before = m.Facts
	p.Notes = nil
	for _, text := range m.Facts.Warnings {
		p.Notes = append(p.Notes, edit.Warning{Edit: "inspect", Text: text})
	}
	staged := edit.NewStaged(m.Tree)
	job := p.job(m.Facts)
	if err := edit.Plan(ctx, staged, job); err != nil {
		return err
	}
	if p.Changes, err = staged.Changes(); err != nil {
		return err
	}
	p.Notes = append(p.Notes, staged.Warnings()...)
	if p.Request.Now.IsZero() {
		p.Request.Now = lastTouched(m.Tree)
	}
	return edit.Apply(ctx, m.Tree, p.Changes, edit.ApplyOptions{Now: p.Request.Now})
}

// job is what the edits work towards, and the checks look at.
func (p *Prepared) job(f *guest.Facts) edit.Job {
	return edit.Job{
		Facts: f, Needs: needs(p.Request.Targets), Limits: p.Request.Limits,
		Firmware: p.Request.VM.Firmware, SecureBoot: p.Request.VM.SecureBoot,
	}
}

// lastTouched is when the guest last changed something that every running system
// changes. New files carry this time and not the clock's, so that the same guest
// always gives the same output.
func lastTouched(v guest.View) time.Time {
	last := time.Unix(0, 0).UTC()
	for _, dir := range []string{"/", "/etc", "/boot", "/run", "/tmp", "/var", "/var/lib", "/var/log"} {
		if a, err := v.Stat(dir); err == nil && a.Ctime.After(last) {
			last = a.Ctime.UTC()
		}
	}
	return last
}

// verify opens the result as a new user would, and checks that it starts.
func (p *Prepared) verify(ctx context.Context) error {
	m, err := p.open(ctx, guest.Full)
	if err != nil {
		return fmt.Errorf("reading the converted guest back: %w", err)
	}
	p.After = m.Facts
	if !m.Facts.Firmware.BIOS && !m.Facts.Firmware.UEFI {
		if err := p.planDirect(m); err != nil {
			return err
		}
	}
	job := p.job(m.Facts)
	if p.Checks, err = bootcheck.Check(ctx, m.Tree, job); err != nil {
		return err
	}
	var failed []string
	for _, row := range bootcheck.Failed(p.Checks) {
		if !slices.Contains(p.Request.Accept, row.ID) {
			failed = append(failed, fmt.Sprintf("%s (%s) [%s]", row.Text, row.Evidence, row.ID))
		}
	}
	if len(failed) > 0 {
		return ondisk.Because(ondisk.ErrBlocked, "checks failed that a start needs: %s; --accept ID goes on all the same", strings.Join(failed, "; "))
	}
	return nil
}

// planDirect takes the kernel out of a guest whose disk has no boot loader that
// a firmware could start: a Xen PV guest, whose loader was on the host.
func (p *Prepared) planDirect(m *fsedit.Machine) (err error) {
	k, ok := firstKernel(m.Facts)
	if !ok {
		return nil // the checks say so
	}
	d := &Direct{Args: k.Args}
	if d.Kernel, err = m.Tree.Open(k.Image); err != nil {
		return err
	}
	if k.Initramfs != "" {
		if d.Initramfs, err = m.Tree.Open(k.Initramfs); err != nil {
			return err
		}
	}
	p.Direct = d
	return nil
}

// firstKernel is the one that starts when nobody chooses.
func firstKernel(f *guest.Facts) (guest.Kernel, bool) {
	usable := func(k guest.Kernel) bool { return k.Image != "" && !k.XenOnly }
	i := slices.IndexFunc(f.Kernels, func(k guest.Kernel) bool { return k.Default && usable(k) })
	if i < 0 {
		i = slices.IndexFunc(f.Kernels, usable)
	}
	if i < 0 {
		return guest.Kernel{}, false
	}
	return f.Kernels[i], true
}

// discard marks on the overlays what no guest can see, so that it is neither
// read nor written.
func (p *Prepared) discard(ctx context.Context) error {
	drop := p.Request.Drop == DropFree || p.Request.Drop == DropAuto && len(p.Request.Targets) > 0
	if !drop || p.Request.InPlace || p.Request.Layer {
		return nil
	}
	m, err := p.open(ctx, guest.Volumes)
	if err != nil {
		return err
	}
	for i, d := range p.Request.Disks {
		free, kept, err := m.FreeExtents(ctx, i)
		if err != nil {
			return err
		}
		for _, text := range kept {
			p.Notes = append(p.Notes, edit.Warning{Edit: "free", Text: text})
		}
		for _, r := range free {
			if err := d.Overlay.Discard(r.Off, r.Len); err != nil {
				return err
			}
			p.Dropped += r.Len
		}
	}
	return nil
}

// needs is the union of what the targets demand.
func needs(targets []target.Target) edit.Needs {
	n := edit.Needs{DiskName: targets[0].DiskName, NICDriver: targets[0].NICDriver, Console: targets[0].Console}
	seen := map[string]int{}
	for _, t := range targets {
		for _, d := range t.Drivers {
			why := d.Why + " on " + t.Name
			if i, ok := seen[d.Module]; ok {
				n.Drivers[i].Required = n.Drivers[i].Required || d.Required
				continue
			}
			seen[d.Module] = len(n.Drivers)
			n.Drivers = append(n.Drivers, edit.Driver{Module: d.Module, Required: d.Required, Why: why})
		}
		for _, arg := range t.DropArgs {
			if !slices.Contains(n.DropArgs, arg) {
				n.DropArgs = append(n.DropArgs, arg)
			}
		}
	}
	return n
}
