package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/vmconv/vmconv/pkg/convert"
	"github.com/vmconv/vmconv/pkg/convert/machine"
	"github.com/vmconv/vmconv/pkg/convert/target"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
)

// convertFlags are the flags of convert, as the user gave them.
type convertFlags struct {
	image       imageFlags
	to          []string
	outFormat   string
	options     []string
	compression string // of -c: CODEC[:LEVEL]
	output      string
	dryRun      bool
	asJSON      bool
	inPlace     bool
	overlay     bool
	overwrite   bool
	keepFree    bool
	dropFree    bool
	accept      []string
}

func newConvert(a *app) *cobra.Command {
	var f convertFlags
	cmd := &cobra.Command{
		Use:   "convert SOURCE...",
		Short: "Convert machines for another hypervisor, or disks to another format",
		Long: `Convert machines so that they start on another hypervisor (--to), or disks to
another format (-O). The source is opened read-only and never written; outputs
appear under their names only when they are complete.

Each SOURCE is one machine: a disk image, a block device, an appliance (.ova,
.xva), a description beside its disks (.ovf, .vmx, libvirt's XML, a configuration
of xl), or - for stdin, packed or not. Disks that nothing describes together are
given by -a, in order. Without -o the outputs are NAME.qcow2 and NAME.xml here.

With --to, free blocks of the guest's filesystems are not copied; without it the
output is exact to the byte.`,
		Example: `  vmconv convert xen.img --to kvm
  vmconv convert xen.img --to kvm --dry-run          what would change, as diffs
  vmconv convert -a root.img -a data.img --to kvm -o /images/web01.qcow2
  vmconv convert safe.img --key all:file:passphrase.txt --to kvm
  vmconv convert disk.qcow2 -O raw -o disk.raw
  vmconv convert disk.raw -O qcow2 -c --opt compression_type=zstd
  vmconv convert --in-place copy.qcow2 --to kvm
  vmconv convert --in-place disk.img -O vhd --opt subformat=fixed
  vmconv convert --overlay big.img --to kvm          big.qcow2 with the edits, over big.img
  ssh xen1 cat web.img.gz | vmconv convert - --to kvm -o web.qcow2`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = f.asJSON
			if err := f.validate(args); err != nil {
				return err
			}
			return a.convertAll(cmd.Context(), &f, args)
		},
	}
	f.image.register(cmd.Flags())
	cmd.Flags().Lookup("mount").Hidden = true
	set := cmd.Flags()
	set.StringSliceVar(&f.to, "to", nil, "make the guest start on `TARGET` (see 'vmconv targets'); several by comma")
	f.registerOutput(set)
	set.StringVarP(&f.output, "output", "o", "", "output `FILE`, folder or block device")
	set.BoolVar(&f.dryRun, "dry-run", false, "plan, check and show the diffs; write nothing")
	set.BoolVar(&f.asJSON, "json", false, "report as JSON")
	set.BoolVar(&f.inPlace, "in-place", false, "change SOURCE itself, in one transaction, instead of copying it")
	set.BoolVar(&f.overlay, "overlay", false, "write only the edits: a qcow2 with SOURCE as its backing file, whatever SOURCE's size")
	set.BoolVar(&f.overwrite, "overwrite", false, "replace outputs that exist")
	set.BoolVar(&f.keepFree, "keep-free", false, "copy free blocks too")
	set.BoolVar(&f.dropFree, "drop-free", false, "leave free blocks out without --to as well")
	set.StringSliceVar(&f.accept, "accept", nil, "go on although the required check `ID` failed")
	return cmd
}

// validate refuses what can be refused before anything is opened, with the
// right line where another tool's habit shows.
func (f *convertFlags) validate(args []string) error {
	switch {
	case len(f.image.disks) > 0 && len(args) > 0:
		return usagef("give the machine by -a or by SOURCE, not by both")
	case len(f.image.disks) == 0 && len(args) == 0:
		return usagef("which image? vmconv convert SOURCE --to TARGET")
	case len(f.image.mounts) > 0:
		return usagef("convert takes --root, not -m")
	case f.inPlace && (f.output != "" || f.compress()):
		return usagef("--in-place changes SOURCE itself: it takes no -o or -c")
	case f.inPlace && len(f.to) > 0 && f.outFormat != "":
		return usagef("--in-place takes --to, or -O, and not both")
	case f.inPlace && f.outFormat != "" && (len(args) != 1 || f.output != ""):
		return usagef("--in-place -O takes one SOURCE")
	case f.overlay && (f.inPlace || f.compress() || f.dropFree || f.output == stdinName):
		return usagef("--overlay takes no --in-place, -c, --drop-free or -o -")
	case f.overlay && slices.Contains(args, stdinName):
		return usagef("--overlay needs a SOURCE that stays: not stdin")
	case f.inPlace && len(f.to) == 0 && f.outFormat == "":
		return usagef("--in-place needs --to, or -O: without there is nothing to change")
	case f.keepFree && f.dropFree:
		return usagef("--keep-free and --drop-free contradict each other")
	case len(args) == 2 && len(f.to) == 0 && !exists(args[1]) && filepath.Ext(args[1]) != "":
		return usagef("the output goes behind -o: vmconv convert %s -o %s", args[0], args[1])
	case f.output == "libvirt" || f.output == "local" || f.output == "qemu":
		return usagef("-o names a file here: vmconv convert SOURCE --to kvm -o NAME.qcow2 writes the disk and NAME.xml for libvirt")
	case strings.Contains(f.output, "=") && !exists(f.output) && !strings.Contains(f.output, string(filepath.Separator)):
		return usagef("format options go behind --opt: --opt %s", f.output)
	case len(args) > 1 && f.output != "" && !isFolder(f.output):
		return usagef("several machines need a folder: -o %s/", f.output)
	case f.output == "-" && (len(f.to) > 0 || f.asJSON || len(args) > 1 || len(f.image.disks) > 1):
		return usagef("-o - is one disk on stdout: no --to, no --json, no second machine")
	case len(f.to) == 0 && f.outFormat == "" && filepath.Ext(f.output) == "":
		return usagef("convert to what? --to TARGET for another hypervisor, -O FORMAT for another format")
	}
	return nil
}

// convertAll converts each machine: each is complete or absent by itself, and
// the worst error decides about the exit code.
func (a *app) convertAll(ctx context.Context, f *convertFlags, args []string) error {
	if f.inPlace && f.outFormat != "" {
		return a.rewrap(ctx, f, args[0])
	}
	targets := make([]target.Target, 0, len(f.to))
	for _, name := range f.to {
		t, err := target.Lookup(name)
		if err != nil {
			return usagef("%v; see 'vmconv targets'", err)
		}
		targets = append(targets, t)
	}
	if strings.HasSuffix(f.output, "/") && !exists(f.output) && !f.dryRun {
		if err := os.Mkdir(f.output, 0o777); err != nil {
			return err
		}
		defer os.Remove(f.output) // which fails when something is in it
	}
	if len(f.image.disks) > 0 {
		return a.convertMachine(ctx, f, targets, f.image.disks)
	}
	var failed []error
	for _, source := range args {
		err := a.convertMachine(ctx, f, targets, []string{source})
		if err == nil {
			continue
		}
		if len(args) == 1 || ctx.Err() != nil {
			return err
		}
		a.ui.failure("convert", fmt.Errorf("%s: %w", source, err))
		failed = append(failed, err)
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d machines failed: %w", len(failed), len(args), worst(failed))
	}
	return nil
}

// worst is the error with the highest exit code.
func worst(errs []error) error {
	out := errs[0]
	for _, err := range errs[1:] {
		if exitCode(err) > exitCode(out) {
			out = err
		}
	}
	return out
}

// convertMachine converts one machine, which may have several disks.
func (a *app) convertMachine(ctx context.Context, f *convertFlags, targets []target.Target, paths []string) error {
	name := machineName(paths[0])
	if err := a.checkOutputs(f, targets, name); err != nil {
		return err
	}
	mode := readOnly
	if f.inPlace {
		mode = readWrite
	}
	if _, err := a.keyring(ctx, &f.image.keys); err != nil {
		return err
	}
	s, err := a.openDisks(ctx, &f.image, paths, mode)
	if err != nil {
		return err
	}
	defer s.Close()
	dests, err := a.placeOutputs(f, targets, s, name)
	if err != nil {
		return err
	}
	prepared, err := convert.Prepare(ctx, a.request(f, targets, s))
	if prepared != nil && err != nil {
		a.printChecks(f, prepared)
	}
	if err != nil {
		return err
	}
	a.ui.debug(name, "%d changes, %s of free blocks left out", len(prepared.Changes), humanSize(prepared.Dropped))
	var outputs []string
	switch {
	case f.dryRun:
	case f.inPlace:
		err, outputs = s.commit(ctx, a.ui.observer()), paths
		a.warnFormats(targets, s)
	default:
		outputs, err = a.writeAll(ctx, f, s, prepared, dests)
	}
	if err != nil {
		return err
	}
	report := prepared.Report()
	report.DryRun, report.Outputs = f.dryRun, outputs
	a.ui.progressDone()
	return a.printReport(f, name, report)
}

// warnFormats tells of disks that were changed where they lie, and so kept a
// format that their target does not take.
func (a *app) warnFormats(targets []target.Target, s *session) {
	for _, d := range s.disks {
		for _, t := range targets {
			if format := d.image.Info().Format; !slices.Contains(t.DiskFormats, format) {
				a.ui.warn(d.path, "format", fmt.Sprintf("it stays %s, and %s takes %s: convert it with -O before it is started there",
					format, t.Name, strings.Join(t.DiskFormats, " or ")))
			}
		}
	}
}

// checkOutputs finds mistakes about the outputs before the source is opened,
// which may mean to receive all of it.
func (a *app) checkOutputs(f *convertFlags, targets []target.Target, name string) (err error) {
	if f.inPlace {
		return nil
	}
	dests, err := a.destinations(f, targets, []string{name}, name)
	if err == nil && f.output != "" && !isFolder(f.output) {
		f.image.spool = filepath.Dir(f.output)
	} else if err == nil {
		f.image.spool = filepath.Dir(dests[0].Path)
	}
	return err
}

// placeOutputs names the outputs of all disks that the source turned out to have.
func (a *app) placeOutputs(f *convertFlags, targets []target.Target, s *session, name string) ([]convert.Destination, error) {
	if f.inPlace {
		return nil, nil
	}
	var sources []string
	for _, d := range s.disks {
		sources = append(sources, d.path)
	}
	dests, err := a.destinations(f, targets, sources, name)
	if err == nil && f.overlay {
		err = a.layer(s, dests)
	}
	if err == nil && f.output == stdinName && len(s.disks) > 1 && dests[0].Appliance == convert.NoAppliance {
		err = usagef("-o - is one image on stdout, and the machine has %d disks", len(s.disks))
	}
	return dests, err
}

func (a *app) request(f *convertFlags, targets []target.Target, s *session) convert.Request {
	req := convert.Request{
		Targets: targets, Root: f.image.root, InPlace: f.inPlace, Accept: f.accept,
		Layer: f.overlay, Keys: a.ring,
		Watch: a.ui.observer(), Now: sourceDateEpoch(a.lookup),
	}
	switch {
	case f.keepFree:
		req.Drop = convert.DropNever
	case f.dropFree:
		req.Drop = convert.DropFree
	}
	if s.machine != nil {
		req.VM = s.machine.VM
	}
	for _, d := range s.disks {
		req.Disks = append(req.Disks, convert.Disk{Name: d.path, Image: d.image, Overlay: d.overlay})
	}
	return req
}

// writeAll writes every destination and names the outputs at the end, together.
func (a *app) writeAll(ctx context.Context, f *convertFlags, s *session, p *convert.Prepared, dests []convert.Destination) (names []string, err error) {
	if err := a.checkSpace(ctx, s, dests); err != nil {
		return nil, err
	}
	outs := &outputs{set: osfile.NewSet(), options: osfile.CreateOptions{Overwrite: f.overwrite, Mode: s.mode(), Avoid: s.sources()}}
	defer func() {
		if err != nil {
			outs.set.Abort()
		}
	}()
	if err := a.writeVerified(ctx, f, s, p, dests, outs); err != nil {
		return nil, err
	}
	if err := outs.set.Commit(ctx); err != nil {
		return nil, err
	}
	return outs.names, nil
}

// writeVerified writes all destinations while the package that the source may be
// is compared with its manifest.
func (a *app) writeVerified(ctx context.Context, f *convertFlags, s *session, p *convert.Prepared, dests []convert.Destination, outs *outputs) error {
	g, ctx := errgroup.WithContext(ctx)
	if s.machine != nil && !slices.Contains(f.accept, "manifest") {
		g.Go(func() error { return a.verifyManifest(ctx, s.machine, s.disks[0].path) })
	}
	g.Go(func() error {
		for _, dst := range dests {
			if err := p.Write(ctx, dst, outs); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

func (a *app) verifyManifest(ctx context.Context, m *machine.Machine, name string) error {
	v, err := m.Verify(ctx, ondisk.Limits{})
	for _, file := range v.Absent {
		a.ui.warn(name, "manifest", fmt.Sprintf("the manifest names %s, which is not there", file))
	}
	return err
}

// outputs is the set of host files that one conversion makes.
type outputs struct {
	set     *osfile.Set
	options osfile.CreateOptions
	names   []string
}

func (o *outputs) Create(path string) (imagefmt.Sink, error) {
	if path == "-" {
		return osfile.Stream(os.Stdout), nil
	}
	out, err := o.set.Create(path, o.options)
	if err != nil {
		return nil, err
	}
	o.names = append(o.names, path)
	return out, nil
}

// checkSpace compares what the copies need at most with what the host has left,
// and with how long its files may become.
func (a *app) checkSpace(ctx context.Context, s *session, dests []convert.Destination) error {
	left := map[string]int64{} // in each folder
	for _, dst := range dests {
		for i, d := range dst.Disks {
			if info, err := os.Stat(d.Path); err == nil && !info.Mode().IsRegular() || d.Path == stdinName || d.Options.Compress || d.Layer || dst.Appliance != convert.NoAppliance {
				continue // takes no room here, or nobody knows before how much
			}
			if err := checkRoom(ctx, s.disks[i], d, left); err != nil {
				return fmt.Errorf("%s: %w", d.Path, err)
			}
		}
	}
	return nil
}

// checkRoom takes what one disk needs at most from what its folder has left.
func checkRoom(ctx context.Context, src *disk, dst convert.DiskFile, left map[string]int64) error {
	dir := filepath.Dir(dst.Path)
	if _, known := left[dir]; !known {
		free, err := osfile.FreeSpace(dir)
		if err != nil {
			return err
		}
		left[dir] = free
	}
	room, err := convert.Needs(ctx, src.overlay, dst.Creator, dst.Options, left[dir])
	if errors.Is(err, ondisk.ErrNoSpace) {
		return ondisk.Because(ondisk.ErrNoSpace, "more may be needed than the %s that %s has left; write elsewhere with -o, or try -c", humanSize(left[dir]), dir)
	}
	if err != nil {
		return err
	}
	left[dir] -= room.Allocated
	return osfile.CheckLength(dir, room.Longest)
}

// printReport prints what was done: for people, or as JSON.
func (a *app) printReport(f *convertFlags, name string, r convert.Report) error {
	for _, w := range r.Warnings {
		a.ui.warn(name, w.Edit, w.Text)
	}
	if f.output == "-" {
		return nil // stdout is the disk
	}
	if f.asJSON {
		return a.printJSON(r)
	}
	var b bytes.Buffer
	renderReport(&b, r)
	_, err := a.stdout.Write(b.Bytes())
	return err
}

// printChecks shows the table of a conversion that is refused because of it.
func (a *app) printChecks(f *convertFlags, p *convert.Prepared) {
	if f.asJSON || len(p.Checks) == 0 {
		return
	}
	var b bytes.Buffer
	renderChecks(&b, p.Checks)
	a.stdout.Write(b.Bytes())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir() || strings.HasSuffix(path, "/")
}
