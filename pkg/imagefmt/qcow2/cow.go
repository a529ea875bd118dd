package qcow2

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// spot is one cluster of the guest in an L2 table that belongs to nobody else.
type spot struct {
	table int64 // host offset of the L2 table
	index int64 // of the entry
	entry entry
}

// WriteSome writes in place where a cluster belongs to nobody else, and to a new
// cluster where it is shared, compressed, or not there.
func (u *updater) WriteSome(p []byte, off int64) (int, error) {
	if err := u.begin(); err != nil {
		return 0, err
	}
	table, err := u.ownTable(off)
	if err != nil {
		return 0, err
	}
	s, err := u.spot(table, off)
	if err != nil {
		return 0, err
	}
	own, err := u.owned(s.entry)
	if err != nil {
		return 0, err
	}
	size := u.img.m.clusterSize()
	in := off & (size - 1)
	first := p[:min(int64(len(p)), size-in)]
	switch {
	case own && u.img.m.extended:
		err = u.writeSubclusters(s, first, off)
	case own && s.entry.word&flagZero == 0:
		return u.writeInPlace(table, s, p, off)
	case in == 0 && int64(len(first)) == size:
		return u.writeNew(table, p, off)
	default:
		err = u.writePart(s, first, off)
	}
	return len(first), err
}

// ownTable is the L2 table of guest offset off: made if there is none, copied if
// a snapshot shares it. The clusters it maps were counted once for each of the
// two all the time, so their counts stay.
func (u *updater) ownTable(off int64) (int64, error) {
	m := u.img.m
	i := off / m.tableSpan()
	table, err := m.tableOffset(i)
	if err != nil {
		return 0, err
	}
	content := make([]byte, m.clusterSize())
	if table != 0 {
		own, err := u.exclusive(m.l1[i], table)
		if err != nil || own {
			return table, err
		}
		if err := ondisk.Full(m.file, content, table); err != nil {
			return 0, ondisk.At(layer, "L2 table", table).Wrap(err)
		}
	}
	host, err := u.counts.take(1)
	if err != nil {
		return 0, err
	}
	if err := u.writeTable(content, host); err != nil {
		return 0, err
	}
	m.l1[i] = uint64(host) | flagCopied
	var word [8]byte
	binary.BigEndian.PutUint64(word[:], m.l1[i])
	if _, err := u.file.WriteAt(word[:], m.l1Offset+i*8); err != nil {
		return 0, err
	}
	if table != 0 {
		err = u.counts.release(table, m.clusterSize())
	}
	return host, err
}

// writeTable writes a whole L2 table to a cluster that may have been another one.
func (u *updater) writeTable(content []byte, host int64) error {
	for off := int64(0); off < int64(len(content)); off += sliceSize {
		u.img.m.slices.Drop(host + off)
	}
	_, err := u.file.WriteAt(content, host)
	return err
}

// exclusive reports whether the cluster at host, named by an entry of L1 or L2,
// has no other reference. The flag alone says so, but it must not lie, nor may
// the entry name a cluster of the tables that everything rests on.
func (u *updater) exclusive(word uint64, host int64) (bool, error) {
	if word&flagCopied == 0 {
		return false, nil
	}
	for _, t := range u.fixedTables() {
		if host < t.off+t.n && t.off < host+u.img.m.clusterSize() {
			return false, ondisk.At(layer, t.name, t.off).Corrupt("the mapping names it as a cluster of its own, %#x", host)
		}
	}
	n, err := u.counts.get(host >> u.img.m.clusterBits)
	if err == nil && n != 1 {
		err = ondisk.At(layer, "refcount", host).
			Corrupt("a count of %d, but the mapping says 1; repair the image with qemu-img check -r all", n)
	}
	return err == nil, err
}

// owned reports whether an L2 entry has a host cluster of its own.
func (u *updater) owned(e entry) (bool, error) {
	host := int64(e.word & offsetMask)
	if e.word&flagPacked != 0 || host == 0 {
		return false, nil
	}
	return u.exclusive(e.word, host)
}

// spot looks up the entry of guest offset off in its table, and checks it.
func (u *updater) spot(table, off int64) (spot, error) {
	m := u.img.m
	s := spot{table: table, index: off % m.tableSpan() >> m.clusterBits}
	slice, at, err := m.slice(table, s.index)
	if err != nil {
		return spot{}, err
	}
	s.entry = m.entry(slice, at)
	if _, err := m.cluster(s.entry, 0); err != nil {
		return spot{}, ondisk.At(layer, "L2 table", table).In("entry %d", s.index).Wrap(err)
	}
	return s, nil
}

// store replaces an entry, in the cached table and in the file.
func (u *updater) store(s spot, e entry) error {
	m := u.img.m
	slice, at, err := m.slice(s.table, s.index)
	if err != nil {
		return err
	}
	p := slice[at : at+m.entrySize()]
	binary.BigEndian.PutUint64(p, e.word)
	if m.extended {
		binary.BigEndian.PutUint64(p[8:], e.bitmap)
	}
	_, err = u.file.WriteAt(p, s.table+s.index*m.entrySize())
	return err
}

// writeInPlace writes to own clusters that follow each other on the host too.
func (u *updater) writeInPlace(table int64, s spot, p []byte, off int64) (int, error) {
	m := u.img.m
	size := m.clusterSize()
	in := off & (size - 1)
	host := int64(s.entry.word&offsetMask) + in
	n := min(int64(len(p)), size-in)
	for n < int64(len(p)) && s.index+1 < m.tableEntries() {
		next, err := u.spot(table, off+n)
		if err != nil {
			break // the next call reports it
		}
		own, err := u.owned(next.entry)
		if err != nil || !own || next.entry.word&flagZero != 0 || int64(next.entry.word&offsetMask) != host+n {
			break
		}
		s = next
		n = min(int64(len(p)), n+size)
	}
	_, err := u.file.WriteAt(p[:n], host)
	return int(n), err
}

// writeNew writes whole clusters of one table that have no place of their own.
func (u *updater) writeNew(table int64, p []byte, off int64) (int, error) {
	m := u.img.m
	size := m.clusterSize()
	limit := min(int64(len(p))/size, m.tableEntries()-off%m.tableSpan()>>m.clusterBits)
	var old []spot
	for i := range limit {
		s, err := u.spot(table, off+i*size)
		if err != nil {
			break // the next call reports it
		}
		if own, err := u.owned(s.entry); err != nil || own && i > 0 {
			break
		}
		old = append(old, s)
	}
	n := int64(len(old))
	host, err := u.counts.take(n)
	if err != nil {
		return 0, err
	}
	if _, err := u.file.WriteAt(p[:n*size], host); err != nil {
		return 0, err
	}
	for i, s := range old {
		if err := u.replace(s, host+int64(i)*size, off+int64(i)*size); err != nil {
			return 0, err
		}
	}
	return int(n * size), nil
}

// writePart writes to a part of a cluster, and completes it with what the guest
// sees there now.
func (u *updater) writePart(s spot, p []byte, off int64) error {
	size := u.img.m.clusterSize()
	base := ondisk.AlignDown(off, size)
	whole, err := u.view(base, size)
	if err != nil {
		return err
	}
	copy(whole[off-base:], p)
	host, err := u.counts.take(1)
	if err != nil {
		return err
	}
	if _, err := u.file.WriteAt(whole, host); err != nil {
		return err
	}
	return u.replace(s, host, base)
}

// view is what the guest sees; zeros beyond the end of the disk.
func (u *updater) view(off, n int64) ([]byte, error) {
	p := make([]byte, n)
	inside := min(n, u.img.Size()-off)
	return p, ondisk.Full(u.img, p[:inside], off)
}

// replace maps the cluster at guest offset base to a new host cluster, and gives
// up what it was mapped to.
func (u *updater) replace(s spot, host, base int64) error {
	m := u.img.m
	e := entry{word: uint64(host) | flagCopied}
	if m.extended {
		e.bitmap = allocMask
	}
	if err := u.store(s, e); err != nil {
		return err
	}
	u.img.unpacked.Drop(base)
	if s.entry.word&flagPacked != 0 {
		return u.counts.release(m.packedExtent(s.entry.word))
	}
	if old := int64(s.entry.word & offsetMask); old != 0 {
		return u.counts.release(old, m.clusterSize())
	}
	return nil
}

// writeSubclusters writes to an own cluster with extended entries. A subcluster
// that was not allocated is completed with what the guest sees there.
func (u *updater) writeSubclusters(s spot, p []byte, off int64) error {
	m := u.img.m
	sub := m.subclusterSize()
	base := ondisk.AlignDown(off, m.clusterSize())
	from := ondisk.AlignDown(off, sub)
	to := ondisk.AlignUp(off+int64(len(p)), sub)
	whole := p
	if from != off || to != off+int64(len(p)) {
		var err error
		if whole, err = u.view(from, to-from); err != nil {
			return err
		}
		copy(whole[off-from:], p)
	}
	host := int64(s.entry.word & offsetMask)
	if _, err := u.file.WriteAt(whole, host+from-base); err != nil {
		return err
	}
	touched := uint64(1)<<((to-base)/sub) - uint64(1)<<((from-base)/sub)
	bitmap := (s.entry.bitmap | touched) &^ (touched << 32)
	if bitmap == s.entry.bitmap {
		return nil
	}
	return u.store(s, entry{s.entry.word, bitmap})
}
