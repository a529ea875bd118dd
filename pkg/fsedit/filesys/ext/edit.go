package ext

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

// editor is the one transaction of a volume. Changed metadata is staged in
// memory, sealed, so that the reader shows it as if it lay on the device; the
// content of new files stays where it comes from until Commit.
type editor struct {
	filesys.FS         // of v
	base       *volume // as it was when the session began
	v          *volume // the same, read through stage
	stage      *stage.Stage
	dev        blockdev.Writable
	now        time.Time
	rand       func() uint32
	hash       *dirHash // of new indexes; nil when it cannot be computed here
	zones      []zone
	closed     bool

	pending     map[uint32]pendingFile
	touched     map[uint32]struct{} // inodes
	groups      map[uint32]struct{}
	startBlocks map[uint32]bitmap // block bitmaps when the session began
	startInodes map[uint32]bitmap
}

var _ filesys.Editor = (*editor)(nil)

// pendingFile is content that Commit copies to its blocks.
type pendingFile struct {
	content blockdev.Device
	runs    []run
}

// Edit starts a transaction. Files that were deleted while open, or cut short
// by a crash, are dealt with first, as the kernel does when it mounts.
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
		base:        v,
		dev:         dev,
		stage:       stage.New(dev, v.blockBits, nil),
		now:         opts.Now,
		rand:        opts.Rand,
		pending:     map[uint32]pendingFile{},
		touched:     map[uint32]struct{}{},
		groups:      map[uint32]struct{}{},
		startBlocks: map[uint32]bitmap{},
		startInodes: map[uint32]bitmap{},
	}
	if e.rand == nil {
		next := uint32(0x76_6D_63_76)
		e.rand = func() uint32 { next++; return next }
	}
	var err error
	if e.v, err = v.on(e.stage); err != nil {
		return nil, err
	}
	e.stage.OnChange(e.v.blocks.Drop)
	if e.FS, err = e.v.Root(""); err != nil {
		return nil, err
	}
	if e.zones, err = v.metadataZones(); err != nil {
		return nil, err
	}
	if s := v.super(); s.DefHashVersion <= hashTEA {
		e.hash, _ = newDirHash(s.DefHashVersion, s.Flags&flagUnsignedHash != 0, s.HashSeed)
	}
	return e, e.do(e.processOrphans)
}

// block returns a private copy of a block as staged.
func (e *editor) block(nr uint64) ([]byte, error) {
	raw, err := e.v.readBlock(nr)
	return slices.Clone(raw), err
}

// do runs one operation: all of it, or when it fails nothing.
func (e *editor) do(op func() error) error {
	if e.closed {
		return fs.ErrClosed
	}
	return e.stage.Do(op)
}

// setPending registers the content of an inode; nil runs forget it.
func (e *editor) setPending(ino uint32, p pendingFile) {
	if p.content == nil {
		stage.Delete(e.stage, e.pending, ino)
	} else {
		stage.Set(e.stage, e.pending, ino, p)
	}
}

// Open gives the content of a file as it will be.
func (e *editor) Open(n filesys.Node) (blockdev.Device, error) {
	if p, ok := e.pending[uint32(n)]; ok && n <= 1<<32-1 {
		return p.content, nil
	}
	return e.FS.Open(n)
}

// Lookup searches an indexed directory by its index, which for thousands of
// names in one session is what makes it fast; any other as a reader does.
func (e *editor) Lookup(dir filesys.Node, name string) (filesys.Node, error) {
	d, err := e.directory(dir)
	if err != nil || !d.indexed() || d.in.has(flCasefold|flEncrypt) {
		return e.FS.Lookup(dir, name)
	}
	if p, err := d.find(name); err == nil && p.found() {
		return filesys.Node(p.slot.ino), nil
	} else if err == nil {
		return 0, &fs.PathError{Op: "lookup", Path: name, Err: fs.ErrNotExist}
	}
	return e.FS.Lookup(dir, name)
}

// Abort forgets the session.
func (e *editor) Abort() { e.close() }

func (e *editor) close() {
	if !e.closed {
		e.closed = true
		e.base.editing.Store(false)
	}
}

// Commit checks what was touched and writes it: data to free blocks, then
// metadata that nothing points to yet, then the blocks that make it the
// filesystem's, the superblock last. After a failure the editor is done too; a device that failed
// to take a block then holds a part of it.
func (e *editor) Commit(ctx context.Context) error {
	if e.closed {
		return fs.ErrClosed
	}
	defer e.close()
	if e.stage.Len() == 0 {
		return nil
	}
	if err := e.sealSuper(); err != nil {
		return err
	}
	if err := e.check(ctx); err != nil {
		return err
	}
	err := e.write(ctx)
	return cmp.Or(err, e.base.reload())
}
