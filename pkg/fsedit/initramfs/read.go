package initramfs

import (
	"bufio"
	"io"

	"github.com/vmconv/vmconv/pkg/fsedit/cpio"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Options of [Read]. The zero value is good: names, and no contents but the few
// that tell the generator.
type Options struct {
	// Keep chooses the regular files whose contents stay in memory, by their
	// canonical path. Asking for them later costs another pass.
	Keep   func(path string, size int64) bool
	Limits ondisk.Limits
}

// Segment is one archive, or several in one compressed frame.
type Segment struct {
	Off     int64 // in the file
	Len     int64 // without NULs behind it
	Method  Method
	Plain   int64 // bytes when unpacked
	Entries int
	Early   bool // first, plain, and read by the kernel before it unpacks: microcode, ACPI tables
	frames  []int64
	first   string // raw name of the first entry that is no directory
	mtime   uint32 // of the first entry
}

// Image is an initramfs that was read. It is safe for concurrent use as long as
// its reader is.
type Image struct {
	r        io.ReaderAt
	size     int64
	limits   ondisk.Limits
	segments []Segment
	tree     *union
	sorted   []*Entry
}

// Read reads the initramfs of size bytes in r. r stays in use.
//
// What is neither an archive nor compressed is ondisk.ErrFormat. On damage or a
// method that cannot be read the image is returned beside the error: it holds
// what the kernel would have unpacked before it stopped.
func Read(r io.ReaderAt, size int64, opts Options) (*Image, error) {
	img := &Image{r: device{r}, size: size, limits: opts.Limits.OrDefault()}
	img.tree = newUnion(img.limits.Cache)
	s := scanner{img: img, keep: opts.Keep, plain: img.limits.File, kept: img.limits.Cache}
	err := s.run()
	img.finish()
	return img, err
}

// scanner is one pass over a file.
type scanner struct {
	img   *Image
	keep  func(string, int64) bool
	plain int64 // bytes that may still be unpacked
	kept  int64 // bytes of contents that may still be kept
	count int
}

func (s *scanner) run() error {
	m := s.img
	for off := int64(0); ; {
		start, err := skipNULs(m.r, off, m.size)
		if err != nil {
			return ondisk.At("initramfs", "segment", off).Wrap(codecError(err))
		}
		if start == m.size {
			break
		}
		if off, err = s.segment(start); err != nil {
			return err
		}
	}
	if len(m.segments) == 0 {
		return ondisk.At("initramfs", "file", 0).Format("empty, or nothing but NULs")
	}
	return nil
}

// segment reads the one at off and returns where it ends.
func (s *scanner) segment(off int64) (int64, error) {
	m, at := s.img, ondisk.At("initramfs", "segment", off)
	head, err := peekAt(m.r, off, m.size, 2048)
	if err != nil {
		return 0, at.Wrap(codecError(err))
	}
	plain := off%4 == 0 && cpio.IsMagic(head)
	method, packed := methodOf(head)
	if !plain && !packed {
		return 0, notArchive(at, off, head)
	}
	if plain {
		method = None
	}
	m.segments = append(m.segments, Segment{Off: off, Method: method})
	seg := &m.segments[len(m.segments)-1]
	if plain {
		err = s.plainArchive(seg)
	} else {
		err = s.compressed(seg)
	}
	if err != nil {
		return 0, at.Wrap(codecError(err))
	}
	return off + seg.Len, nil
}

func (s *scanner) plainArchive(seg *Segment) error {
	r := cpio.NewReader(io.NewSectionReader(s.img.r, seg.Off, s.img.size-seg.Off))
	err := s.archive(seg, r)
	seg.Len, seg.Plain = r.Offset(), r.Offset()
	return err
}

func (s *scanner) compressed(seg *Segment) error {
	z, err := openStream(s.img.r, seg.Off, s.img.size, seg.Method)
	if err != nil {
		return err
	}
	defer z.close()
	before := s.plain
	if err := s.archives(seg, bounded{z, &s.plain}); err != nil {
		return err
	}
	seg.Len, seg.Plain = z.used(), before-s.plain
	if lz4, ok := z.Reader.(*lz4Reader); ok {
		seg.frames = lz4.frames
	}
	return nil
}

// archives reads all that one frame holds.
func (s *scanner) archives(seg *Segment, z io.Reader) error {
	buf := bufio.NewReaderSize(z, 2048)
	if head, err := buf.Peek(2048); err != nil && err != io.EOF {
		return err
	} else if what := foreign(head); what != "" {
		return ondisk.Because(ondisk.ErrUnsupported, "%s, not an archive", what)
	}
	r := cpio.NewReader(buf)
	for {
		if err := s.archive(seg, r); err != nil {
			return err
		}
		if err := r.NextArchive(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// archive reads one archive to its end.
func (s *scanner) archive(seg *Segment, r *cpio.Reader) error {
	links := map[linkKey]*node{}
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if s.count++; s.count > s.img.limits.Entries {
			return ondisk.Because(ondisk.ErrTooBig, "more than %d entries", s.img.limits.Entries)
		}
		if err := s.entry(seg, r, h, links); err != nil {
			return err
		}
	}
}

func (s *scanner) entry(seg *Segment, r *cpio.Reader, h *cpio.Header, links map[linkKey]*node) error {
	index := len(s.img.segments) - 1
	if seg.Entries++; seg.Entries == 1 {
		seg.mtime = h.Mtime
	}
	if seg.first == "" && !h.IsDir() {
		seg.first = h.Name
	}
	path, ok := s.img.tree.place(h.Name)
	if !ok {
		return nil
	}
	e := &Entry{Path: path, Mode: h.Mode, UID: h.UID, GID: h.GID, Mtime: h.Mtime, Segment: index}
	if h.IsSymlink() {
		if h.Size >= cpio.MaxName {
			return nil // so does the kernel
		}
		target, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		e.Target = string(target)
	}
	linked := false
	e.node, linked = s.node(path, h, links)
	if ok, err := s.img.tree.put(e); err != nil || !ok {
		return err
	}
	if !h.IsRegular() || linked && h.Size == 0 {
		return nil // a further link without data keeps what there is
	}
	return s.content(e, r, h, index)
}

// content notes where the data of a file lies, and keeps it if asked to.
func (s *scanner) content(e *Entry, r *cpio.Reader, h *cpio.Header, segment int) error {
	n := e.node
	s.kept += int64(len(n.data))
	n.size, n.segment, n.off, n.kept, n.data = int64(h.Size), segment, r.Offset(), false, nil
	if !evidence(e.Path, n.size) && (s.keep == nil || !s.keep(e.Path, n.size)) {
		return nil
	}
	if n.size > s.img.limits.Text || n.size > s.kept {
		return nil // Content says so when it is asked for
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.kept -= n.size
	n.data, n.kept = data, true
	return nil
}

// linkKey is what makes entries of one archive hard links of each other.
type linkKey struct{ ino, major, minor, kind uint32 }

// node is the content that an entry gets: that of the link it joins, which is
// then true; that of the file it overwrites in place, under all its names; or a
// new one.
func (s *scanner) node(path string, h *cpio.Header, links map[linkKey]*node) (n *node, linked bool) {
	key := linkKey{h.Ino, h.DevMajor, h.DevMinor, h.Type()}
	many := h.Nlink >= 2 && !h.IsDir() && !h.IsSymlink()
	if many && links[key] != nil {
		return links[key], true
	}
	n = &node{}
	if old := s.img.tree.entries[path]; old != nil && old.IsRegular() && h.IsRegular() {
		n = old.node
	}
	if many {
		links[key] = n
	}
	return n, false
}
