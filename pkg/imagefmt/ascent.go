package imagefmt

import (
	"context"
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Ascent is the life of a [Writer]: ranges that ascend inside the disk, then one
// end. The first failure is kept: what came after it would be an image with a
// part missing.
type Ascent struct {
	Name string // of the format, for messages
	Size int64  // of the disk in bytes

	pos   int64 // guest bytes before here are settled
	ended bool
	err   error // the first failure
}

// Admit settles the n bytes from off, and a gap before them. A mistake of the
// caller leaves the image as it was.
func (a *Ascent) Admit(off, n int64) error {
	switch {
	case a.err != nil:
		return a.err
	case a.ended:
		return fmt.Errorf("%s: write after the image was finished", a.Name)
	case !ondisk.InRange(off, n, a.Size):
		return fmt.Errorf("%s: write %d+%d outside a disk of %d bytes", a.Name, off, n, a.Size)
	case off < a.pos:
		return fmt.Errorf("%s: write at %d after one that ended at %d", a.Name, off, a.pos)
	}
	a.pos = off + n
	return nil
}

// Keep returns err, and remembers it if it is the first one.
func (a *Ascent) Keep(err error) error {
	if a.err == nil {
		a.err = err
	}
	return err
}

// Finish ends the image with finish, once, if nothing failed before. Later calls
// return what the first one did. Where ctx has ended, the image still has to be
// aborted.
func (a *Ascent) Finish(ctx context.Context, finish func() error) error {
	if a.ended || a.err != nil {
		return a.err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	a.ended = true
	return a.Keep(finish())
}

// Ended reports whether the image was finished or given up.
func (a *Ascent) Ended() bool { return a.ended }

// Abort gives the image up, if it has not ended; the sink's owner removes what was
// written. It never fails.
func (a *Ascent) Abort() error {
	if !a.ended {
		a.ended = true
		a.Keep(fmt.Errorf("%s: the image was given up", a.Name))
	}
	return nil
}
