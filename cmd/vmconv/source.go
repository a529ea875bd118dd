package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/wrapper"
)

// stdinName stands for the stream on stdin among the sources.
const stdinName = "-"

// maxWrappers is how many times a source may be packed over.
const maxWrappers = 2

// openSource opens a file or a block device, or spools stdin. What is packed as
// a whole is unpacked beside it, unless the user forces a format: then bytes
// that a guest may have forged do not decide, only the file's name does. named
// is the file that the user named; it is closed already when it was unpacked.
func (a *app) openSource(ctx context.Context, f *imageFlags, path string) (src, named imagefmt.Source, err error) {
	if path == stdinName && f.keys.fromStdin {
		return nil, nil, usagef("--keys-from-stdin: stdin is the image already; give a key by --key")
	}
	if path == stdinName {
		src, err = a.spool(ctx, f, a.stdin, "stdin")
	} else {
		src, err = osfile.Open(path, a.siblings(f))
	}
	if err != nil {
		return nil, nil, err
	}
	named = src
	src, err = a.unpack(ctx, f, src)
	return src, named, err
}

// unpack takes wrappers off. It owns src, and closes it when that fails or when
// what is inside takes its place.
func (a *app) unpack(ctx context.Context, f *imageFlags, src imagefmt.Source) (imagefmt.Source, error) {
	name := src.Name()
	for depth := 0; ; depth++ {
		if f.format != "" && wrapper.Trim(name) == name {
			return src, nil
		}
		w, err := detectWrapper(src)
		if w == nil {
			if err != nil {
				src.Close()
			}
			return src, err
		}
		if depth == maxWrappers {
			src.Close()
			return nil, ondisk.Because(ondisk.ErrUnsupported, "%s is packed more than %d times", src.Name(), maxWrappers)
		}
		name = wrapper.Trim(name)
		inner, err := a.unpackOnce(ctx, f, w, src, name)
		src.Close()
		if err != nil {
			return nil, err
		}
		src = inner
	}
}

// unpackFile takes one wrapper off a file that a description calls packed. It
// owns src.
func (a *app) unpackFile(ctx context.Context, f *imageFlags, src imagefmt.Source) (imagefmt.Source, error) {
	defer src.Close()
	w, err := detectWrapper(src)
	switch {
	case err != nil:
		return nil, err
	case w == nil:
		return nil, ondisk.Because(ondisk.ErrCorrupt, "it is not packed, although the description says so")
	}
	return a.unpackOnce(ctx, f, w, src, wrapper.Trim(src.Name()))
}

func detectWrapper(src imagefmt.Source) (*wrapper.Wrapper, error) {
	head := make([]byte, min(wrapper.HeadSize, src.Size()))
	if len(head) == 0 {
		return nil, nil
	}
	if err := ondisk.Full(src, head, 0); err != nil {
		return nil, err
	}
	return wrapper.Detect(head), nil
}

func (a *app) unpackOnce(ctx context.Context, f *imageFlags, w *wrapper.Wrapper, src imagefmt.Source, name string) (imagefmt.Source, error) {
	r, err := w.Reader(bufio.NewReaderSize(blockdev.NewReader(src), 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", src.Name(), err)
	}
	defer r.Close()
	a.ui.debug(src.Name(), "unpacking %s", w)
	return a.spool(ctx, f, r, name)
}

// spool keeps a stream in a nameless file: beside the output, which needs the
// room anyway, or where big temporary files go.
func (a *app) spool(ctx context.Context, f *imageFlags, r io.Reader, name string) (imagefmt.Source, error) {
	if file, ok := r.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return nil, usagef("stdin is a terminal: pipe an image into it")
	}
	dir := f.spool
	if dir == "" {
		dir = a.spoolDir()
	}
	return osfile.Spool(ctx, r, name, dir, a.ui.observer())
}

// spoolDir is TMPDIR, or /var/tmp, which is on a disk where /tmp may be memory.
func (a *app) spoolDir() string {
	if dir, ok := a.lookup("TMPDIR"); ok && dir != "" {
		return dir
	}
	if info, err := os.Stat("/var/tmp"); err == nil && info.IsDir() {
		return filepath.Clean("/var/tmp")
	}
	return ""
}
