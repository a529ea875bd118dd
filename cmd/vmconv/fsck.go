package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// foreignResult is what a filesystem's own checker says of it.
type foreignResult struct {
	Command string `json:"command"` // without the temporary file
	Clean   bool   `json:"clean"`
	Output  string `json:"output,omitempty"` // when it is not
}

// foreignChecker is a program that checks a filesystem and changes nothing.
type foreignChecker struct {
	line     []string
	packaged string // the Debian package that brings it
	faults   int    // exit codes up to here tell of faults; others of its own trouble
}

var foreignCheckers = map[string]foreignChecker{
	"ext2": {[]string{"e2fsck", "-fn"}, "e2fsprogs", 7},
	"ext3": {[]string{"e2fsck", "-fn"}, "e2fsprogs", 7},
	"ext4": {[]string{"e2fsck", "-fn"}, "e2fsprogs", 7},
	"xfs":  {[]string{"xfs_repair", "-n"}, "xfsprogs", 1},
	"vfat": {[]string{"fsck.fat", "-n"}, "dosfstools", 1},
}

// fsck runs the checker of a filesystem on a sparse copy of what the volume shows,
// journal replayed; nil when its type has none.
func (a *app) fsck(ctx context.Context, m *guestSession, c *checkedFilesystem) (*foreignResult, error) {
	checker, ok := foreignCheckers[c.Type]
	if !ok {
		return nil, nil
	}
	program, err := exec.LookPath(checker.line[0])
	if err != nil {
		return nil, ondisk.Because(ondisk.ErrUnsupported, "%s is not installed (Debian package %s)", checker.line[0], checker.packaged)
	}
	v, _ := m.Volume(c.Volume)
	file, err := sparseCopy(ctx, v.Device, a.spoolDir())
	if err != nil {
		return nil, err
	}
	defer os.Remove(file)
	cmd := exec.CommandContext(ctx, program, append(checker.line[1:], file)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	text, err := cmd.CombinedOutput()
	r := &foreignResult{Command: strings.Join(checker.line, " "), Clean: err == nil}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return r, nil
	case errors.As(err, &exit) && exit.ExitCode() > 0 && exit.ExitCode() <= checker.faults:
		r.Output = strings.TrimSpace(strings.ReplaceAll(string(text), file, c.Volume))
		return r, nil
	}
	return nil, fmt.Errorf("%s: %w: %s", r.Command, err, strings.TrimSpace(string(text)))
}

// sparseCopy writes a device to a new file; the caller removes it.
func sparseCopy(ctx context.Context, dev blockdev.Device, dir string) (name string, err error) {
	f, err := os.CreateTemp(dir, "vmconv-fsck-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := f.Truncate(dev.Size()); err != nil {
		return "", err
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < dev.Size(); {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		e, err := blockdev.NextExtent(dev, off, min(int64(len(buf)), dev.Size()-off))
		if err != nil {
			return "", err
		}
		if e.Kind == blockdev.Data {
			p := buf[:e.Len]
			if err := ondisk.Full(dev, p, off); err != nil {
				return "", err
			}
			if !ondisk.IsZero(p) {
				if _, err := f.WriteAt(p, off); err != nil {
					return "", err
				}
			}
		}
		off = e.End()
	}
	return f.Name(), nil
}
