package xva

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
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
	d, err := describeOptions(sink.Name(), opts)
	d.Disks = []Disk{{Size: size, Bootable: true}}
	if size < 0 {
		err = errors.Join(err, refuse("negative size %d", size))
	}
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

func refuse(format string, args ...any) error {
	return ondisk.At(layer, "options", ondisk.NoOffset).Unsupported(format, args...)
}

// describeOptions checks all options and reports every problem at once.
func describeOptions(file string, opts imagefmt.CreateOptions) (Description, error) {
	var problems []error
	values := map[string]string{}
	for _, o := range (Format{}).Options() {
		values[o.Key] = o.Default
	}
	for key, v := range opts.Values {
		if _, known := values[key]; !known {
			problems = append(problems, refuse("unknown option %q", key))
		}
		values[key] = v
	}
	for _, o := range (Format{}).Options() {
		if v := values[o.Key]; len(o.Choices) > 0 && !slices.Contains(o.Choices, v) {
			problems = append(problems, refuse("%s=%q is not one of %s", o.Key, v, strings.Join(o.Choices, ", ")))
		}
	}
	if opts.Compress {
		problems = append(problems, refuse("an export is not compressed inside; pack the whole file"))
	}
	memory, err := strconv.ParseInt(values["memory"], 10, 32)
	if err != nil || memory <= 0 {
		problems = append(problems, refuse("memory=%q is not a number of MiB", values["memory"]))
	}
	cpus, err := strconv.ParseInt(values["vcpus"], 10, 16)
	if err != nil || cpus <= 0 {
		problems = append(problems, refuse("vcpus=%q is not a number of processors", values["vcpus"]))
	}
	d := Description{Name: values["name"], Memory: memory << 20, VCPUs: int(cpus), HVM: true, Firmware: values["firmware"]}
	if d.Name == "" {
		d.Name = baseName(file)
	}
	return d, errors.Join(problems...)
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
