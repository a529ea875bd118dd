package initramfs

import (
	"bytes"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// finish sorts the tree once it is complete.
func (m *Image) finish() {
	m.sorted = slices.SortedFunc(maps.Values(m.tree.entries), func(a, b *Entry) int {
		return strings.Compare(a.Path, b.Path)
	})
	if len(m.segments) > 0 {
		m.segments[0].Early = m.segments[0].early()
	}
}

// early tells by the first file, since such archives may lack directories.
func (s *Segment) early() bool {
	first := strings.TrimPrefix(path.Clean("/"+s.first), "/")
	return s.Method == None && (first == "early_cpio" ||
		strings.HasPrefix(first, "kernel/x86/") || strings.HasPrefix(first, "kernel/firmware/"))
}

// Size is the length of the file in bytes.
func (m *Image) Size() int64 { return m.size }

// Segments are in the order of the file.
func (m *Image) Segments() []Segment { return slices.Clone(m.segments) }

// Methods are the compression methods in use, in the order of the file, each once.
func (m *Image) Methods() []Method {
	var all []Method
	for _, s := range m.segments {
		if !slices.Contains(all, s.Method) {
			all = append(all, s.Method)
		}
	}
	return all
}

// Entries are all objects of the tree, sorted by path.
func (m *Image) Entries() iter.Seq[Entry] { return m.from(0, "") }

// Under are all objects below a directory, sorted by path. Links on the way to
// the directory are followed; the paths are canonical.
func (m *Image) Under(dir string) iter.Seq[Entry] {
	canon, ok := m.tree.resolve(dir, true)
	if !ok {
		return func(func(Entry) bool) {}
	}
	if canon == "" {
		return m.Entries()
	}
	prefix := canon + "/"
	return m.from(sort.Search(len(m.sorted), func(i int) bool { return m.sorted[i].Path >= prefix }), prefix)
}

func (m *Image) from(i int, prefix string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for ; i < len(m.sorted) && strings.HasPrefix(m.sorted[i].Path, prefix); i++ {
			if !yield(*m.sorted[i]) {
				return
			}
		}
	}
}

// Lookup finds what path is, with all symbolic links followed inside the tree.
// A leading "/" changes nothing.
func (m *Image) Lookup(path string) (Entry, bool) { return m.find(path, true) }

// Lstat is Lookup, but a symbolic link at the end is the answer itself.
func (m *Image) Lstat(path string) (Entry, bool) { return m.find(path, false) }

func (m *Image) find(path string, last bool) (Entry, bool) {
	canon, ok := m.tree.resolve(path, last)
	if e := m.tree.entries[canon]; ok && e != nil {
		return *e, true
	}
	return Entry{}, false
}

// Canonical is the path that path stands for once every link is followed; the
// object, and directories above it, need not exist. It is false where a file
// stands in the way or links lead in a circle.
func (m *Image) Canonical(path string) (string, bool) { return m.tree.resolve(path, true) }

// Content is a regular file's content. What [Options.Keep] did not keep costs a
// pass over the segment that holds it. A missing file is fs.ErrNotExist, one
// larger than Limits.Text ondisk.ErrTooBig.
func (m *Image) Content(path string) ([]byte, error) {
	e, ok := m.Lookup(path)
	if ok && e.node.kept {
		return bytes.Clone(e.node.data), nil
	}
	if ok && e.Size() > m.limits.Text {
		return nil, ondisk.At("initramfs", "file", ondisk.NoOffset).In("%s", path).TooBig("%d bytes", e.Size())
	}
	f, err := m.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Open opens a regular file as a stream.
func (m *Image) Open(path string) (io.ReadCloser, error) {
	e, ok := m.Lookup(path)
	switch {
	case !ok:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case !e.IsRegular():
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrInvalid}
	case e.node.kept || e.Size() == 0:
		return io.NopCloser(bytes.NewReader(e.node.data)), nil
	}
	return m.openNode(e.node)
}

func (m *Image) openNode(n *node) (io.ReadCloser, error) {
	seg := &m.segments[n.segment]
	if seg.Method == None {
		return io.NopCloser(io.NewSectionReader(m.r, seg.Off+n.off, n.size)), nil
	}
	at := ondisk.At("initramfs", "segment", seg.Off)
	z, err := openStream(m.r, seg.Off, m.size, seg.Method)
	if err != nil {
		return nil, at.Wrap(codecError(err))
	}
	if _, err := io.CopyN(io.Discard, z, n.off); err != nil {
		z.close()
		return nil, at.Wrap(codecError(err))
	}
	return &openFile{at: at, inner: z, left: n.size}, nil
}

// openFile is the part of a stream that one file fills.
type openFile struct {
	at    ondisk.Place
	inner *stream
	left  int64
}

func (f *openFile) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := f.inner.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	if err == io.EOF && f.left > 0 {
		return n, f.at.Corrupt("ends early")
	}
	if err == io.EOF {
		err = nil
	}
	return n, f.at.Wrap(codecError(err))
}

func (f *openFile) Close() error {
	f.inner.close()
	return nil
}
