package osfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Options are for everything that is opened through one source. The zero value
// is good.
type Options struct {
	// Siblings says which other files an image may lead to.
	Siblings Siblings
	// NoHoles reads holes as if they were data, for file systems that lie.
	NoHoles bool
}

// Open opens a regular file or a block device for reading. What is written to
// by somebody else is ondisk.ErrInUse; what is neither file nor block device is
// ondisk.ErrUnsupported; a URL or a description in place of a path is
// ondisk.ErrBlocked. A change that a crash left half applied is seen as done.
func Open(path string, o Options) (imagefmt.Source, error) {
	if err := plainPath(path); err != nil {
		return nil, err
	}
	return open(hostPath(path), path, o)
}

// opener opens by a path or inside a folder that cannot be left.
type opener interface {
	Stat() (fs.FileInfo, error)
	Open(flag int) (*os.File, error)
}

type hostPath string

func (p hostPath) Stat() (fs.FileInfo, error)      { return os.Stat(string(p)) }
func (p hostPath) Open(flag int) (*os.File, error) { return os.OpenFile(string(p), flag, 0) }

func open(from opener, path string, o Options) (imagefmt.Source, error) {
	f, info, err := openForReading(from, path)
	if err != nil {
		return nil, err
	}
	s, err := newSource(f, info, path, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	return throughLog(s)
}

// openForReading looks before it opens: to open a pipe would wait for ever, and
// to open some devices does something.
func openForReading(from opener, path string) (*os.File, fs.FileInfo, error) {
	info, err := from.Stat()
	if err != nil {
		return nil, nil, err
	}
	if err := usable(info, path); err != nil {
		return nil, nil, err
	}
	f, err := openQuietly(from, info)
	if err != nil {
		return nil, nil, inUse(path, err)
	}
	opened, err := f.Stat()
	if err == nil && !os.SameFile(info, opened) {
		err = fmt.Errorf("%s was replaced while it was opened", path)
	}
	if err == nil {
		err = inUse(path, lockShared(f))
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, opened, nil
}

// openQuietly leaves the access time alone where the system allows it: only the
// owner may ask for that.
func openQuietly(from opener, info fs.FileInfo) (*os.File, error) {
	flag := os.O_RDONLY
	if isBlockDevice(info) {
		flag |= os.O_EXCL
	}
	if noAtime != 0 {
		f, err := from.Open(flag | noAtime)
		if !errors.Is(err, fs.ErrPermission) {
			return f, err
		}
	}
	return from.Open(flag)
}

// usable refuses what has no size, no end or side effects.
func usable(info fs.FileInfo, path string) error {
	switch {
	case info.Mode().IsRegular(), isBlockDevice(info):
		return nil
	case info.IsDir():
		return ondisk.Because(ondisk.ErrUnsupported, "%s is a folder, not a disk image", path)
	default:
		return ondisk.Because(ondisk.ErrUnsupported, "%s is neither a regular file nor a block device", path)
	}
}

func isBlockDevice(info fs.FileInfo) bool {
	return info.Mode()&(fs.ModeDevice|fs.ModeCharDevice) == fs.ModeDevice
}

// source is an open file of the host.
type source struct {
	file     *os.File
	path     string
	identity string
	size     int64
	mode     fs.FileMode
	options  Options
	spill    *Spill // of a spooled stream
}

var (
	_ imagefmt.Source   = (*source)(nil)
	_ blockdev.Extenter = (*source)(nil)
)

func newSource(f *os.File, info fs.FileInfo, path string, o Options) (*source, error) {
	size := info.Size()
	if isBlockDevice(info) {
		end, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, err
		}
		size = end
	}
	return &source{file: f, path: path, identity: identity(info, path), size: size, mode: info.Mode(), options: o}, nil
}

func (s *source) Name() string     { return s.path }
func (s *source) Identity() string { return s.identity }
func (s *source) Size() int64      { return s.size }

func (s *source) Close() error {
	if s.spill != nil {
		return s.spill.Close()
	}
	return s.file.Close()
}

// ReadAt keeps to the size that the file had when it was opened: a file that
// shrinks under us is an error, not an end.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.size {
		return 0, io.EOF
	}
	short := off >= 0 && int64(len(p)) > s.size-off
	if short {
		p = p[:s.size-off]
	}
	n, err := s.file.ReadAt(p, off)
	switch {
	case err == io.EOF && n < len(p):
		return n, fmt.Errorf("%s became shorter while it was read: %w", s.path, io.ErrUnexpectedEOF)
	case err == nil && short:
		err = io.EOF
	}
	return n, err
}

// NextExtent tells holes from data as far as the file system does.
func (s *source) NextExtent(off, n int64) (blockdev.Extent, error) {
	kind, length := blockdev.Data, n
	if !s.options.NoHoles {
		var err error
		if kind, length, err = holeOrData(s.file, off, n); err != nil {
			return blockdev.Extent{}, fmt.Errorf("%s: finding holes: %w", s.path, err)
		}
	}
	e := blockdev.Extent{Off: off, Len: length, Kind: kind}
	if kind == blockdev.Data {
		e.Host = &blockdev.HostPos{File: s.file, Off: off}
	}
	return e, nil
}

// Mode is the permissions of a source that Open gave, for an output that must
// not be readable by more people: those of the file, or of the owner alone when
// the source is no regular file.
func Mode(src imagefmt.Source) fs.FileMode {
	switch s := src.(type) {
	case *source:
		if s.mode.IsRegular() {
			return s.mode.Perm()
		}
	case *pendingSource:
		return Mode(s.inner)
	}
	return 0o600
}

// inUse gives err the sentinel when it says that somebody else has the file.
func inUse(path string, err error) error {
	if err == nil || !isBusy(err) {
		return err
	}
	return ondisk.Because(ondisk.ErrInUse, "%s is in use: %v; stop the machine that runs from it, or unmount it", path, err)
}
