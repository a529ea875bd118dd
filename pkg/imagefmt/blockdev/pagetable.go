package blockdev

import "slices"

const (
	pageSize      = 4096
	pagesPerSuper = 256
	superSize     = pageSize * pagesPerSuper // 1 MiB
)

// pageTable holds the bytes written to an overlay. Pages are grouped in
// superpages of 1 MiB: a map finds one, and a sorted index of the few that
// exist finds the next one, however far. It is not safe for concurrent use.
type pageTable struct {
	supers map[int64]*superpage // by offset / superSize
	index  []int64              // keys of supers, ascending
	bytes  int64                // written, each byte counted once

	options OverlayOptions
	held    int64 // bytes of pages in memory
	spill   SpillFile
	spilled int64 // bytes given out of the spill file
}

type superpage [pagesPerSuper]*overlayPage

// overlayPage holds the written bytes of one page, and nothing else: a partial
// write reads nothing from below, and a discard leaves it alone.
type overlayPage struct {
	data    []byte  // nil when the page lies in the spill file
	at      int64   // its offset there
	written spanSet // relative to the page
}

// wholePage is shared by all pages that are wholly written. It is never changed:
// adding to a set that holds everything leaves it alone.
var wholePage = spanSet{{0, pageSize}}

func newPageTable(o OverlayOptions) pageTable {
	return pageTable{supers: map[int64]*superpage{}, options: o}
}

// next is the first written span that ends after off, within one page.
func (t *pageTable) next(off int64) (span, bool) {
	key := off / superSize
	if s := t.supers[key]; s != nil {
		if x, ok := s.next(key*superSize, off); ok {
			return x, true
		}
	}
	i, _ := slices.BinarySearch(t.index, key+1)
	for ; i < len(t.index); i++ {
		base := t.index[i] * superSize
		if x, ok := t.supers[t.index[i]].next(base, base); ok {
			return x, true
		}
	}
	return span{}, false
}

// next is pageTable.next within the superpage at base.
func (s *superpage) next(base, off int64) (span, bool) {
	for i := (off - base) / pageSize; i < pagesPerSuper; i++ {
		pg := s[i]
		if pg == nil {
			continue
		}
		at := base + i*pageSize
		if x, ok := pg.written.next(off - at); ok {
			return span{at + x.off, at + x.end}, true
		}
	}
	return span{}, false
}

// read fills p from off; all of it was written, and lies in one page.
func (t *pageTable) read(p []byte, off int64) error {
	pg := t.supers[off/superSize][off%superSize/pageSize]
	in := off % pageSize
	if pg.data != nil {
		copy(p, pg.data[in:])
		return nil
	}
	if n, err := t.spill.ReadAt(p, pg.at+in); n < len(p) {
		return unexpected(err)
	}
	return nil
}

// write keeps p. On an error the first n bytes are written.
func (t *pageTable) write(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		room := min(len(p)-n, pageSize-int(off%pageSize))
		if err := t.writePage(p[n:n+room], off); err != nil {
			return n, err
		}
		n, off = n+room, off+int64(room)
	}
	return n, nil
}

// writePage keeps p, which is not empty and lies in one page.
func (t *pageTable) writePage(p []byte, off int64) error {
	slot := &t.super(off / superSize)[off%superSize/pageSize]
	pg := *slot
	if pg == nil {
		var err error
		if pg, err = t.newPage(); err != nil {
			return err
		}
	}
	in := off % pageSize
	if pg.data != nil {
		copy(pg.data[in:], p)
	} else if _, err := t.spill.WriteAt(p, pg.at+in); err != nil {
		return err
	}
	var grown int64
	pg.written, grown = pg.written.add(span{in, in + int64(len(p))})
	if len(pg.written) == 1 && pg.written[0] == wholePage[0] {
		pg.written = wholePage
	}
	t.bytes += grown
	*slot = pg
	return nil
}

// super finds or makes a superpage.
func (t *pageTable) super(key int64) *superpage {
	s := t.supers[key]
	if s == nil {
		s = new(superpage)
		t.supers[key] = s
		i, _ := slices.BinarySearch(t.index, key)
		t.index = slices.Insert(t.index, i, key)
	}
	return s
}

// newPage finds room for a page: in memory while there is some, then for good
// in the spill file. The first pages stay in memory, since they are mostly the
// ones that are written again.
func (t *pageTable) newPage() (*overlayPage, error) {
	if t.held+pageSize <= t.options.Memory {
		t.held += pageSize
		return &overlayPage{data: make([]byte, pageSize)}, nil
	}
	if t.spill == nil {
		if t.options.Spill == nil {
			return nil, ErrOverlayFull
		}
		f, err := t.options.Spill()
		if err != nil {
			return nil, err
		}
		t.spill = f
	}
	pg := &overlayPage{at: t.spilled}
	t.spilled += pageSize
	return pg, nil
}
