package fat

import (
	"cmp"
	"context"
	"io/fs"
	"slices"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// editor is the one transaction of a volume. Changed sectors are staged in
// memory; the content of new files stays where it comes from until Commit.
type editor struct {
	filesys.FS         // of v
	base       *volume // as it was when the session began
	v          *volume // the same, read through stage
	stage      *stage.Stage
	dev        blockdev.Writable
	now        time.Time
	atStart    *audit
	alloc      *allocator
	parents    map[uint32]uint32 // of directories, by first cluster
	closed     bool

	pending map[filesys.Node]pendingFile
	written map[int64]string // names of the slots that were made, by place
	touched map[dirPlace]struct{}
}

var _ filesys.Editor = (*editor)(nil)

// pendingFile is content that Commit copies to its clusters.
type pendingFile struct {
	content blockdev.Device
	runs    []run
}

// Edit starts a transaction, after all of the filesystem was found sound.
func (v *volume) Edit(opts filesys.EditOptions) (filesys.Editor, error) {
	at := ondisk.At(layer, "", ondisk.NoOffset)
	dev, ok := v.dev.(blockdev.Writable)
	if !ok {
		return nil, at.Wrap(ondisk.ErrReadOnly)
	}
	if opts.Now.IsZero() {
		return nil, filesys.ErrInvalid
	}
	if !v.editing.CompareAndSwap(false, true) {
		return nil, at.Wrap(ondisk.ErrInUse)
	}
	e, err := newEditor(v, dev, opts)
	if err != nil {
		v.editing.Store(false)
		return nil, err
	}
	return e, nil
}

func newEditor(v *volume, dev blockdev.Writable, opts filesys.EditOptions) (*editor, error) {
	at := ondisk.At(layer, "", ondisk.NoOffset)
	a, err := v.audit(context.Background())
	switch {
	case err != nil:
		return nil, err
	case a.problem != nil:
		return nil, at.Unsupported("%v; run fsck.fat in the guest", a.problem)
	case !v.mirrored:
		return nil, at.Unsupported(notMirrored)
	}
	e := &editor{
		base:    v,
		stage:   stage.New(dev, v.sectorBits, nil),
		dev:     dev,
		now:     opts.Now,
		atStart: a,
		parents: map[uint32]uint32{},
		pending: map[filesys.Node]pendingFile{},
		written: map[int64]string{},
		touched: map[dirPlace]struct{}{},
	}
	for dir, parent := range a.parents {
		e.parents[dir] = parent
	}
	e.alloc = &allocator{e: e, used: slices.Clone(a.used), left: a.free, free: a.free, first: 2}
	e.v = v.on(e.stage)
	e.stage.OnChange(e.v.cache.Drop)
	e.FS = &tree{e.v}
	return e, nil
}

// do runs one operation: all of it, or when it fails nothing.
func (e *editor) do(op func() error) error {
	if e.closed {
		return fs.ErrClosed
	}
	return e.stage.Do(op)
}

// Open gives the content of a file as it will be.
func (e *editor) Open(n filesys.Node) (blockdev.Device, error) {
	if p, ok := e.pending[n]; ok {
		return p.content, nil
	}
	return e.FS.Open(n)
}

// Abort forgets the session.
func (e *editor) Abort() { e.close() }

func (e *editor) close() {
	if !e.closed {
		e.closed = true
		e.base.editing.Store(false)
	}
}

// Commit checks the whole filesystem as it will be and writes it: data to free
// clusters, then new directories, then the sectors that make all that the
// filesystem's. After a failure the editor is done too; a device that failed to
// take a sector then holds a part of it.
func (e *editor) Commit(ctx context.Context) error {
	if e.closed {
		return fs.ErrClosed
	}
	defer e.close()
	if e.stage.Len() == 0 {
		return nil
	}
	if err := e.sealInfo(); err != nil {
		return err
	}
	a, err := e.check(ctx)
	if err != nil {
		return err
	}
	err = e.write(ctx)
	e.base.cache.Clear()
	e.base.ids.Store(e.v.ids.Load())
	e.base.auditing.Lock()
	defer e.base.auditing.Unlock()
	e.base.audited = a
	if err != nil {
		e.base.audited = nil
	}
	return err
}

// refuse is the answer to what FAT has no room for.
func refuse(what string) error {
	return ondisk.At(layer, "", ondisk.NoOffset).Unsupported("FAT has no %s", what)
}

func (e *editor) Symlink(filesys.Node, string, string, filesys.NewAttr) (filesys.Node, error) {
	return 0, refuse("symbolic links")
}

func (e *editor) Mknod(filesys.Node, string, filesys.NewAttr, uint32, uint32) (filesys.Node, error) {
	return 0, refuse("device nodes")
}

func (e *editor) Link(filesys.Node, filesys.Node, string) error { return refuse("hard links") }

func (e *editor) SetXattr(filesys.Node, string, []byte) error {
	return refuse("extended attributes")
}

func (e *editor) RemoveXattr(filesys.Node, string) error { return refuse("extended attributes") }

// patchSlot changes n bytes of a slot at field.
func (e *editor) patchSlot(off int64, field int, p ...byte) error {
	return e.stage.Patch(off+int64(field), p)
}

// first returns the first error; all of its arguments were done.
func first(errs ...error) error { return cmp.Or(errs...) }
