package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/vmconv/vmconv/pkg/fsedit"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// registerMachines registers the flags of commands that look at whole machines:
// all arguments are SOURCEs, or -a builds one machine.
func (f *imageFlags) registerMachines(set *pflag.FlagSet) {
	set.StringArrayVarP(&f.disks, "add", "a", nil, "a `DISK` of the machine, in order, instead of SOURCE")
	set.StringVarP(&f.format, "format", "f", "", "input `FORMAT`; without it the image is probed")
	set.StringVar(&f.root, "root", "", "whose fstab counts, by its root's `DEV` or UUID, where a disk holds several systems")
	f.registerMachine(set)
	f.keys.register(set)
	f.registerExternal(set)
}

// machines are the machines that the arguments name, by their disks.
func (a *app) machines(f *imageFlags, args []string) ([][]string, error) {
	image, _ := a.lookup(imageVariable)
	switch {
	case len(f.disks) > 0 && len(args) > 0:
		return nil, usagef("give the machine by -a or by SOURCE, not by both")
	case len(f.disks) > 0:
		return [][]string{f.disks}, nil
	case image != "" && len(args) > 0:
		return nil, usagef("%q: %s=%s already names the image; unset it to name another", args[0], imageVariable, image)
	case image != "":
		return [][]string{{image}}, nil
	case len(args) == 0:
		return nil, usagef("which image? give it as argument, by -a, or in %s", imageVariable)
	}
	out := make([][]string, len(args))
	for i := range args {
		out[i] = args[i : i+1]
	}
	return out, nil
}

// survey opens one machine after the other and calls fn with each. One that fails
// does not keep the others from it; the worst error decides about the exit code.
func (a *app) survey(ctx context.Context, command string, f *imageFlags, list [][]string, fn func(source string, m *guestSession) error) error {
	var failed []error
	for _, disks := range list {
		err := a.surveyOne(ctx, f, disks, fn)
		if err == nil {
			continue
		}
		if len(list) == 1 || ctx.Err() != nil {
			return err
		}
		a.ui.failure(command, err)
		failed = append(failed, err)
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d machines failed: %w", len(failed), len(list), worst(failed))
	}
	return nil
}

func (a *app) surveyOne(ctx context.Context, f *imageFlags, disks []string, fn func(source string, m *guestSession) error) error {
	m, err := a.openVolumes(ctx, f, disks)
	if err != nil {
		return err
	}
	defer m.Close()
	return fn(disks[0], m)
}

// openVolumes opens a machine for what its volumes are. A system is looked for
// because its fstab says where they are mounted; that there are several is no error.
func (a *app) openVolumes(ctx context.Context, f *imageFlags, disks []string) (*guestSession, error) {
	ring, err := a.keyring(ctx, &f.keys)
	if err != nil {
		return nil, err
	}
	s, err := a.openDisks(ctx, f, disks, readOnly)
	if err != nil {
		return nil, err
	}
	opts := fsedit.Options{Root: f.root, Level: guest.Mounts, Keys: ring}
	m, err := fsedit.Open(ctx, s.devices(), opts)
	if errors.Is(err, ondisk.ErrAmbiguous) && f.root == "" {
		a.ui.info(disks[0], "there are several systems on it: --root DEV shows where one of them mounts its filesystems")
		opts.Level = guest.Volumes
		m, err = fsedit.Open(ctx, s.devices(), opts)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("%s: %w", disks[0], err)
	}
	return &guestSession{session: s, Machine: m}, nil
}

// mountPoints are where the guest mounts a volume; "swap" for swap space.
func mountPoints(f *guest.Facts, volume string) []string {
	out := []string{}
	for _, m := range f.Mounts {
		if m.Volume == volume {
			out = append(out, m.Path)
		}
	}
	for _, m := range f.Swaps {
		if m.Volume == volume {
			out = append(out, "swap")
		}
	}
	return out
}

// room is the space of a filesystem in JSON, in bytes.
type room struct {
	Size       int64 `json:"size"`
	Used       int64 `json:"used"`
	Available  int64 `json:"available"` // to all but root
	Inodes     int64 `json:"inodes,omitempty"`
	InodesUsed int64 `json:"inodes_used,omitempty"`
	InodesFree int64 `json:"inodes_free,omitempty"`
}

// room is the space of the filesystem on a volume.
func (m *guestSession) room(volume string) (room, error) {
	v, err := m.Filesystem(volume)
	if err != nil {
		return room{}, err
	}
	s := v.Space()
	return room{
		Size: s.Blocks * s.BlockSize, Used: max(0, s.Blocks-s.FreeBlocks) * s.BlockSize, Available: s.AvailBlocks * s.BlockSize,
		Inodes: s.Inodes, InodesUsed: s.Inodes - s.FreeInodes, InodesFree: s.FreeInodes,
	}, nil
}

// percent is a share as df(1) shows it: of what can be used, rounded up.
func percent(used, free int64) string {
	if used+free <= 0 {
		return "-"
	}
	whole, rest := used/(used+free), used%(used+free)
	return fmt.Sprintf("%d%%", whole*100+ceil(float64(rest)*100/float64(used+free)))
}

func ceil(x float64) int64 {
	n := int64(x)
	if float64(n) < x {
		n++
	}
	return n
}
