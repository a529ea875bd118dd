package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/vmconv/vmconv/pkg/convert/machine"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// oneDisk is the disk that a command about images works on.
type oneDisk struct {
	image   imagefmt.Image
	machine *machine.Machine
}

func (d *oneDisk) Close() error { return d.machine.Close() }

func (f *imageFlags) registerDisk(set *pflag.FlagSet) {
	set.IntVar(&f.disk, "disk", 0, "which disk of a machine, by its `NUMBER` from 1")
}

// openOneDisk opens a disk image, or the disk of a machine that has one or whose
// disk --disk chooses.
func (a *app) openOneDisk(ctx context.Context, f *imageFlags, path string) (*oneDisk, error) {
	m, _, err := a.openSourceMachine(ctx, f, path)
	if err != nil {
		return nil, err
	}
	for _, text := range m.Warnings {
		a.ui.warn(path, "description", text)
	}
	i, err := chooseDisk(m, f.disk)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), m.Close())
	}
	return &oneDisk{image: m.Disks[i].Image, machine: m}, nil
}

// chooseDisk is the index of disk number n, or of the only one when n is 0. A
// disk image has no other, so that it can be compared with a machine's disk.
func chooseDisk(m *machine.Machine, n int) (int, error) {
	disks := m.Disks
	switch {
	case m.Kind == machine.Image:
		return 0, nil
	case n > 0 && n <= len(disks):
		return n - 1, nil
	case n == 0 && len(disks) == 1:
		return 0, nil
	}
	names := make([]string, len(disks))
	for i, d := range disks {
		names[i] = strconv.Itoa(i+1) + " " + d.Name
	}
	list := strings.Join(names, ", ")
	if n == 0 {
		return 0, ondisk.Because(ondisk.ErrAmbiguous, "it has %d disks: choose with --disk among %s", len(disks), list)
	}
	return 0, ondisk.Because(ondisk.ErrAmbiguous, "it has no disk %d, but %s", n, list)
}
