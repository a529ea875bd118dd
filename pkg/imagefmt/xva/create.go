package xva

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// Options describe the machine around the disk.
func (Format) Options() []imagefmt.Option {
	return []imagefmt.Option{
		{Key: "name", Help: "of the virtual machine; that of the file, if not given"},
		{Key: "memory", Default: "2048", Help: "MiB of memory"},
		{Key: "vcpus", Default: "1", Help: "virtual processors"},
		{Key: "firmware", Default: "bios", Help: "firmware of the machine", Choices: []string{"bios", "uefi"}},
	}
}

// Create starts the export of a machine with one disk of size bytes, rounded up
// to 512. All sinks will do.
func (Format) Create(ctx context.Context, sink imagefmt.Sink, size int64, opts imagefmt.CreateOptions) (imagefmt.Writer, error) {
	d, err := describeOptions(sink.Name(), size, opts)
	if err != nil {
		return nil, err
	}
	machine, err := NewWriter(ctx, sink, d, WriterOptions{Now: opts.Now})
	if err != nil {
		return nil, err
	}
	disk, err := machine.disk()
	if err != nil {
		return nil, err
	}
	return &onlyDisk{disk: disk, machine: machine}, nil
}

// describeOptions checks all options and reports every problem at once.
func describeOptions(file string, size int64, opts imagefmt.CreateOptions) (Description, error) {
	p := imagefmt.Problems{Format: layer}
	values := p.Values(Format{}.Options(), opts.Values)
	if opts.Compress {
		p.Add("an export is not compressed inside; pack the whole file")
	}
	if size < 0 {
		p.Add("negative size %d", size)
	}
	memory, err := strconv.ParseInt(values["memory"], 10, 32)
	if err != nil || memory <= 0 {
		p.Add("memory=%q is not a number of MiB", values["memory"])
	}
	cpus, err := strconv.ParseInt(values["vcpus"], 10, 16)
	if err != nil || cpus <= 0 {
		p.Add("vcpus=%q is not a number of processors", values["vcpus"])
	}
	d := Description{Name: values["name"], Memory: memory << 20, VCPUs: int(cpus), HVM: true, Firmware: values["firmware"]}
	d.Disks = []Disk{{Size: size, Bootable: true}}
	if d.Name == "" {
		d.Name = baseName(file)
	}
	return d, p.Err()
}

// baseName is the last part of a path, as any system writes it, without ".xva".
func baseName(path string) string {
	if i := strings.LastIndexAny(path, `/\`); i >= 0 {
		path = path[i+1:]
	}
	return strings.TrimSuffix(path, "."+layer)
}

// onlyDisk ends the machine with its disk.
type onlyDisk struct {
	disk    *diskWriter
	machine *MachineWriter
}

func (w *onlyDisk) WriteAt(p []byte, off int64) (int, error) { return w.disk.WriteAt(p, off) }
func (w *onlyDisk) Zero(off, n int64) error                  { return w.disk.Zero(off, n) }

func (w *onlyDisk) Finish(ctx context.Context) error {
	if err := w.disk.Finish(ctx); err != nil {
		return err
	}
	return w.machine.Finish(ctx)
}

func (w *onlyDisk) Abort() error {
	if w.machine.done {
		return nil
	}
	return errors.Join(w.disk.Abort(), w.machine.Abort())
}
