package osfile

import (
	"context"
	"fmt"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const (
	spoolStep  = 1 << 20 // bytes of one read
	spoolDepth = 4       // reads that wait to be written
	spoolHole  = 64 << 10
)

// Spool reads a stream to its end into a nameless file of the folder ("" for the
// system's one), and gives it as a source called name: a format has to look at
// its image from both ends. Zeros become holes. Reading and writing overlap.
// Closing the source gives the room back.
func Spool(ctx context.Context, r io.Reader, name, dir string, watch ondisk.Observer) (imagefmt.Source, error) {
	file, err := NewSpill(dir)
	if err != nil {
		return nil, err
	}
	size, err := fillSpool(ctx, file, r, watch)
	if err == nil {
		err = file.Truncate(size)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: reading the stream: %w", name, err)
	}
	return &source{
		file: file.File, path: name, identity: fmt.Sprintf("spool %p", file), size: size,
		options: Options{Siblings: Nowhere}, spill: file,
	}, nil
}

// piece is what one read gave.
type piece struct {
	p   []byte
	err error
}

// fillSpool copies r to the file, and returns how long it was.
func fillSpool(ctx context.Context, file *Spill, r io.Reader, watch ondisk.Observer) (size int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	full, empty := make(chan piece, spoolDepth), make(chan []byte, spoolDepth)
	for range spoolDepth {
		empty <- make([]byte, spoolStep)
	}
	go readAhead(ctx, r, full, empty)
	var early writeback
	for {
		var in piece
		select {
		case in = <-full:
		case <-ctx.Done():
			return size, context.Cause(ctx)
		}
		if err := writeData(file, in.p, size, &early); err != nil {
			return size, err
		}
		size += int64(len(in.p))
		watch.Tell(ondisk.Event{Phase: "receiving", Done: size})
		if in.err == io.EOF {
			return size, nil
		}
		if in.err != nil {
			return size, in.err
		}
		empty <- in.p[:spoolStep]
	}
}

// readAhead reads until an error, its end included, or until ctx ends. A reader
// that hangs for ever keeps this goroutine, and nothing else.
func readAhead(ctx context.Context, r io.Reader, full chan<- piece, empty <-chan []byte) {
	for {
		var buf []byte
		select {
		case buf = <-empty:
		case <-ctx.Done():
			return
		}
		n, err := io.ReadFull(r, buf)
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		full <- piece{buf[:n], err} // there is room for as many as there are buffers
		if err != nil {
			return
		}
	}
}

// writeData leaves out zeros, so that they are holes.
func writeData(file *Spill, p []byte, off int64, early *writeback) error {
	for len(p) > 0 {
		n := min(len(p), spoolHole)
		if !ondisk.IsZero(p[:n]) {
			if _, err := file.WriteAt(p[:n], off); err != nil {
				return err
			}
			early.wrote(file.File, off, int64(n))
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}
