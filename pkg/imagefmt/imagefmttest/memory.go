package imagefmttest

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Folder holds files that are siblings of each other.
type Folder struct {
	mu    sync.Mutex
	files map[string]*MemFile
}

func NewFolder() *Folder { return &Folder{files: map[string]*MemFile{}} }

// Put makes a file of the given content, in place of an older one of that name.
func (d *Folder) Put(name string, content []byte) *MemFile {
	f := &MemFile{name: name, folder: d, pages: map[int64]*page{}}
	f.size = int64(len(content))
	f.store(content, 0)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name] = f
	return f
}

// Get is the file of that name, or nil.
func (d *Folder) Get(name string) *MemFile {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files[name]
}

// Names lists the files, sorted.
func (d *Folder) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := make([]string, 0, len(d.files))
	for name := range d.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// NewSource is a file of the given content, alone in its folder.
func NewSource(name string, content []byte) *MemFile {
	return NewFolder().Put(name, content)
}

// pageSize is how much of a file is held or is a hole as one.
const pageSize = 4096

type page [pageSize]byte

// MemFile is a sparse file in memory: an imagefmt.Source and an imagefmt.File.
// It is safe for concurrent use, its hooks excepted.
type MemFile struct {
	// OnRead and OnWrite, when set, are called before each access; their error
	// is its result. Set them while nobody uses the file.
	OnRead, OnWrite func(off int64, n int) error

	mu     sync.RWMutex
	name   string
	folder *Folder
	pages  map[int64]*page // by offset / pageSize; absent is a hole
	size   int64
	closed int
}

var (
	_ imagefmt.File     = (*MemFile)(nil)
	_ blockdev.Extenter = (*MemFile)(nil)
)

func (f *MemFile) Name() string     { return f.name }
func (f *MemFile) Identity() string { return fmt.Sprintf("memory:%p", f) }

func (f *MemFile) Size() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.size
}

// Sibling is another file of the folder. Names that lead elsewhere are refused
// as the host's implementation refuses them.
func (f *MemFile) Sibling(name string) (imagefmt.Source, error) {
	if strings.ContainsAny(name, "/:") || name == ".." {
		return nil, ondisk.Because(ondisk.ErrBlocked, "%s names %s outside its folder", f.name, name)
	}
	if s := f.folder.Get(name); s != nil {
		return s, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// SiblingFile is Sibling: every file of the folder can be changed.
func (f *MemFile) SiblingFile(name string) (imagefmt.File, error) {
	src, err := f.Sibling(name)
	if err != nil {
		return nil, err
	}
	return src.(*MemFile), nil
}

// Close only counts: the file can be opened again by using it.
func (f *MemFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

// Closed is how often Close was called.
func (f *MemFile) Closed() int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.closed
}

func (f *MemFile) ReadAt(p []byte, off int64) (int, error) {
	if f.OnRead != nil {
		if err := f.OnRead(off, len(p)); err != nil {
			return 0, err
		}
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if off < 0 {
		return 0, fmt.Errorf("imagefmttest: negative offset %d", off)
	}
	if off >= f.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), f.size-off))
	for done := 0; done < n; {
		at := off + int64(done)
		room := min(n-done, pageSize-int(at%pageSize))
		dst := p[done : done+room]
		if pg := f.pages[at/pageSize]; pg != nil {
			copy(dst, pg[at%pageSize:])
		} else {
			clear(dst)
		}
		done += room
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt grows the file where needed, as files do.
func (f *MemFile) WriteAt(p []byte, off int64) (int, error) {
	if f.OnWrite != nil {
		if err := f.OnWrite(off, len(p)); err != nil {
			return 0, err
		}
	}
	if off < 0 {
		return 0, fmt.Errorf("imagefmttest: negative offset %d", off)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.store(p, off)
	f.size = max(f.size, off+int64(len(p)))
	return len(p), nil
}

// store copies p to its pages; the caller holds the lock.
func (f *MemFile) store(p []byte, off int64) {
	for len(p) > 0 {
		pg := f.pages[off/pageSize]
		if pg == nil {
			pg = new(page)
			f.pages[off/pageSize] = pg
		}
		n := copy(pg[off%pageSize:], p)
		p, off = p[n:], off+int64(n)
	}
}

func (f *MemFile) Truncate(size int64) error {
	if size < 0 {
		return fmt.Errorf("imagefmttest: negative size %d", size)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, pg := range f.pages {
		switch {
		case i*pageSize >= size:
			delete(f.pages, i)
		case (i+1)*pageSize > size:
			clear(pg[size%pageSize:])
		}
	}
	f.size = size
	return nil
}

func (f *MemFile) Sync() error { return nil }

// NextExtent reports pages that were never written as zeros.
func (f *MemFile) NextExtent(off, n int64) (blockdev.Extent, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	kind := f.kind(off)
	if kind == blockdev.Zero {
		return blockdev.Extent{Off: off, Len: min(n, f.nextPage(off)-off), Kind: kind}, nil
	}
	end := off
	for end < off+n && f.kind(end) == blockdev.Data {
		end = ondisk.AlignDown(end, pageSize) + pageSize
	}
	return blockdev.Extent{Off: off, Len: min(n, end-off), Kind: kind}, nil
}

// nextPage is where the first page after off begins that is held; the page of
// off is a hole.
func (f *MemFile) nextPage(off int64) int64 {
	best := f.size
	for i := range f.pages {
		if at := i * pageSize; at > off && at < best {
			best = at
		}
	}
	return best
}

func (f *MemFile) kind(off int64) blockdev.Kind {
	if f.pages[off/pageSize] != nil {
		return blockdev.Data
	}
	return blockdev.Zero
}

// Bytes is a copy of the content; not for large sparse files.
func (f *MemFile) Bytes() []byte {
	p := make([]byte, f.Size())
	if _, err := f.ReadAt(p, 0); err != nil && err != io.EOF {
		panic(err)
	}
	return p
}

// Allocated is how many bytes the file holds besides its holes.
func (f *MemFile) Allocated() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return int64(len(f.pages)) * pageSize
}
