package xfs

import (
	"cmp"
	"context"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// editor is the one transaction of a volume. Changed metadata is staged in memory,
// sealed, so that the reader shows it as if it lay on the device. Directories are
// lists of names until Commit, which builds each of them once; the content of new
// files stays where it comes from until then.
type editor struct {
	filesys.FS         // of v
	base       *volume // as it was when the session began
	v          *volume // the same, read through stage
	stage      *stage.Stage
	space      *space
	dev        blockdev.Writable
	now        time.Time
	rand       func() uint32
	closed     bool

	pending map[uint64]pendingFile
	dirs    map[uint64]*directory // those whose names change
	touched map[uint64]struct{}   // inodes
}

var _ filesys.Editor = (*editor)(nil)

// pendingFile is content that Commit copies to its blocks.
type pendingFile struct {
	content blockdev.Device
	runs    []run
}

// Edit starts a transaction. Files that were deleted while open are dealt with
// first, as the kernel does when it mounts.
func (v *volume) Edit(opts filesys.EditOptions) (filesys.Editor, error) {
	at := ondisk.At(layer, "", ondisk.NoOffset)
	if why := v.readOnly(); why != "" {
		return nil, at.Unsupported("%s", why)
	}
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
	e := &editor{
		base:    v,
		dev:     dev,
		stage:   stage.New(dev, v.blockBits, nil),
		now:     opts.Now,
		rand:    opts.Rand,
		pending: map[uint64]pendingFile{},
		dirs:    map[uint64]*directory{},
		touched: map[uint64]struct{}{},
	}
	if e.rand == nil {
		next := uint32(0x76_6D_63_76)
		e.rand = func() uint32 { next++; return next }
	}
	var err error
	if e.v, err = v.on(e.stage); err != nil {
		return nil, err
	}
	if e.FS, err = e.v.Root(""); err != nil {
		return nil, err
	}
	if e.space, err = newSpace(e.v, e.stage); err != nil {
		return nil, err
	}
	return e, e.do(e.endRecovery)
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
	if p, ok := e.pending[uint64(n)]; ok {
		return p.content, nil
	}
	return e.FS.Open(n)
}

// Lookup finds a name in a directory as it will be.
func (e *editor) Lookup(dir filesys.Node, name string) (filesys.Node, error) {
	d := e.dirs[uint64(dir)]
	if d == nil {
		return e.FS.Lookup(dir, name)
	}
	if x, ok := d.find(name); ok {
		return filesys.Node(x.ino), nil
	}
	return 0, &fs.PathError{Op: "lookup", Path: name, Err: fs.ErrNotExist}
}

// ReadDir lists a directory as it will be.
func (e *editor) ReadDir(dir filesys.Node) ([]filesys.Dirent, error) {
	d := e.dirs[uint64(dir)]
	if d == nil {
		return e.FS.ReadDir(dir)
	}
	out := make([]filesys.Dirent, 0, d.live)
	for x := range d.each {
		out = append(out, filesys.Dirent{Name: x.name, Node: filesys.Node(x.ino), Type: dirent{kind: x.kind}.mode()})
	}
	return out, nil
}

// Abort forgets the session.
func (e *editor) Abort() { e.close() }

func (e *editor) close() {
	if !e.closed {
		e.closed = true
		e.base.editing.Store(false)
	}
}

// Commit builds the directories and trees that changed, checks what was touched,
// and writes it: data to free blocks, then metadata that nothing points to yet,
// then the blocks that make it the filesystem's, the superblock last. After a
// failure the editor is done too; a device that failed to take a block then holds
// a part of it.
func (e *editor) Commit(ctx context.Context) error {
	if e.closed {
		return fs.ErrClosed
	}
	defer e.close()
	if err := e.do(e.buildDirs); err != nil {
		return err
	}
	if e.stage.Len() == 0 {
		return nil
	}
	if err := e.do(e.space.finish); err != nil {
		return err
	}
	if err := e.check(ctx); err != nil {
		return err
	}
	err := e.write(ctx)
	return cmp.Or(err, e.base.reload())
}

// buildDirs stages the directories whose names changed.
func (e *editor) buildDirs() error {
	for _, num := range slices.Sorted(maps.Keys(e.dirs)) {
		if d := e.dirs[num]; d.dirty {
			if err := e.buildDir(d, false); err != nil {
				return err
			}
		}
	}
	return nil
}
