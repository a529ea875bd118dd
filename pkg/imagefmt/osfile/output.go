package osfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// CreateOptions are for one output.
type CreateOptions struct {
	// Overwrite lets the output take the name of a file that exists, or a block
	// device that holds something.
	Overwrite bool
	// Mode is the permissions of the new file, less the process's umask; 0 means
	// 0666. See [Mode] for not being readable by more people than the source.
	Mode fs.FileMode
	// Avoid are files that must not be overwritten, whatever Overwrite says.
	Avoid []imagefmt.Source
}

func (o CreateOptions) mode() fs.FileMode {
	if o.Mode == 0 {
		return 0o666
	}
	return o.Mode.Perm()
}

// check refuses a path that cannot become an output, before anything is
// written. info is what lies there, or nil.
func (o CreateOptions) check(path string) (info fs.FileInfo, err error) {
	if err := plainPath(path); err != nil {
		return nil, err
	}
	info, err = os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = os.Lstat(path) // a link to nowhere is a name that is taken
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err == nil && !o.Overwrite {
			err = exists(path)
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	for _, src := range o.Avoid {
		if src.Identity() == identity(info, path) {
			return nil, ondisk.Because(ondisk.ErrBlocked, "%s is the source %s; a source is never written", path, src.Name())
		}
	}
	if err := usable(info, path); err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && !o.Overwrite {
		return nil, exists(path)
	}
	return info, nil
}

func exists(path string) error {
	return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
}

// Create starts an output alone in its set. Its Commit or Abort ends it.
func Create(path string, o CreateOptions) (*Output, error) {
	return NewSet().Create(path, o)
}

// Output is a new file under a temporary name in its folder, or a block device.
// WriteAt may be called by several goroutines for ranges that do not overlap.
type Output struct {
	set     *Set
	path    string
	options CreateOptions
	file    *os.File
	temp    string  // empty for a block device
	device  *device // nil for a file
	early   writeback
	clones  map[blockdev.HostFile]bool // whose blocks can be shared
}

var (
	_ imagefmt.Sink      = (*Output)(nil)
	_ imagefmt.Allocator = (*Output)(nil)
)

// Name is the path that the output will have.
func (o *Output) Name() string { return o.path }

func (o *Output) WriteAt(p []byte, off int64) (int, error) {
	if o.device != nil {
		return o.device.WriteAt(p, off)
	}
	n, err := o.file.WriteAt(p, off)
	o.early.wrote(o.file, off, int64(n))
	return n, err
}

// Truncate sets the size. A block device only checks that it is large enough.
func (o *Output) Truncate(size int64) error {
	if o.device != nil {
		return o.device.fits(size)
	}
	return o.file.Truncate(size)
}

// Allocate reserves room where the file system can (fallocate(2)); elsewhere it
// is errors.ErrUnsupported, and so it is for a block device.
func (o *Output) Allocate(off, n int64) error {
	if o.device != nil {
		return errors.ErrUnsupported
	}
	return allocate(o.file, off, n)
}

// Sync makes a block device last. A file has no name yet, so nobody can see it
// half written: Commit makes it last once, before it gets its name.
func (o *Output) Sync() error {
	if o.device == nil {
		return nil
	}
	return o.file.Sync()
}

func (o *Output) Seekable() bool { return true }
func (o *Output) Zeroed() bool   { return o.device == nil }

// Sibling starts another file beside this one. It is complete or absent with it.
func (o *Output) Sibling(name string) (imagefmt.Sink, error) {
	if o.device != nil {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "%s is a block device: the image cannot have a second file", o.path)
	}
	if name == "" || name != filepath.Base(name) {
		return nil, ondisk.Because(ondisk.ErrBlocked, "%q is no plain file name", name)
	}
	return o.set.Create(filepath.Join(filepath.Dir(o.path), name), o.options)
}

// Commit makes the output last and gives it its name, and so all of its set.
func (o *Output) Commit(ctx context.Context) error { return o.set.Commit(ctx) }

// Abort removes the output and all of its set. After Commit it does nothing.
func (o *Output) Abort() error { return o.set.Abort() }

// createTemp makes the file under a name that a killed run's leftover does not
// have. It is hidden, and no tool takes it for an image.
func createTemp(path string, mode fs.FileMode) (*os.File, error) {
	const tries = 10000
	for i := range tries {
		name := fmt.Sprintf(".%s.vmconv-%04d.part", filepath.Base(path), i)
		f, err := os.OpenFile(filepath.Join(filepath.Dir(path), name), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("%s: its folder is full of unfinished outputs (.vmconv-*.part)", path)
}

// place gives a finished file its name.
func (o *Output) place() error {
	if o.options.Overwrite {
		return os.Rename(o.temp, o.path)
	}
	return renameNoReplace(o.temp, o.path)
}
