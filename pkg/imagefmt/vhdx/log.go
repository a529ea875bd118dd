package vhdx

import (
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// ring is the log's region: positions go round at its end.
type ring struct {
	src io.ReaderAt
	region
	id    guid  // of the entries that count
	spent int64 // bytes of entries that were summed
	buf   []byte
}

// entry is a valid entry of the log and where it lies.
type entry struct {
	diskLogEntry
	pos int64
}

// maxLogPasses bounds the work on a log whose entries were made to overlap: those
// of an honest one add up to its length at most.
const maxLogPasses = 4

// full reads p from a position, across the end of the ring.
func (l *ring) full(p []byte, pos int64) error {
	pos %= l.n
	n := min(int64(len(p)), l.n-pos)
	if err := ondisk.Full(l.src, p[:n], l.off+pos); err != nil {
		return err
	}
	return ondisk.Full(l.src, p[n:], l.off)
}

// place is where in the file a sector of the ring lies.
func (l *ring) place(pos int64) int64 { return l.off + pos%l.n }

// entryAt reads the entry at pos into l.buf. One that is not valid is no error:
// the log is full of what earlier rounds left.
func (l *ring) entryAt(pos int64) (entry, bool, error) {
	var head [logHeaderSize]byte
	if err := l.full(head[:], pos); err != nil {
		return entry{}, false, err
	}
	e := entry{decode[diskLogEntry](head[:]), pos % l.n}
	n := int64(e.Length)
	if e.Magic != entryMagic || e.Log != l.id || e.Sequence == 0 || n == 0 || n%logSector != 0 || n > l.n ||
		int64(e.Tail)%logSector != 0 || int64(e.Tail) >= l.n || e.descriptorBytes() > n {
		return entry{}, false, nil
	}
	if l.spent += n; l.spent > maxLogPasses*l.n {
		return entry{}, false, ondisk.Because(ondisk.ErrCorrupt, "entries overlap again and again")
	}
	if int64(cap(l.buf)) < n {
		l.buf = make([]byte, n)
	}
	l.buf = l.buf[:n]
	if err := l.full(l.buf, pos); err != nil {
		return entry{}, false, err
	}
	return e, sealed(l.buf) && l.consistent(e), nil
}

// descriptorBytes is how much of the entry its header and descriptors fill.
func (e *entry) descriptorBytes() int64 {
	return ondisk.AlignUp(logHeaderSize+int64(e.Descriptors)*descriptorSize, logSector)
}

// consistent checks the descriptors and data sectors of the entry in l.buf: all
// must carry its sequence number, since a torn write leaves older ones.
func (l *ring) consistent(e entry) bool {
	data := e.descriptorBytes()
	for i := range int64(e.Descriptors) {
		d := decode[diskDescriptor](l.buf[logHeaderSize+i*descriptorSize:])
		if d.Sequence != e.Sequence || d.Offset%logSector != 0 {
			return false
		}
		switch d.Magic {
		case descZeroMagic:
			if le.Uint64(d.Lead[:])%logSector != 0 {
				return false
			}
		case descDataMagic:
			if data+logSector > int64(e.Length) {
				return false
			}
			s := l.buf[data:][:logSector]
			seq := uint64(le.Uint32(s[4:]))<<32 | uint64(le.Uint32(s[logSector-sectorTrail:]))
			if [4]byte(s) != sectorMagic || seq != e.Sequence {
				return false
			}
			data += logSector
		default:
			return false
		}
	}
	return data == int64(e.Length)
}

// active is the sequence of entries that has to be replayed, tail first; empty
// when there is none ([MS-VHDX] 2.3.2).
func (l *ring) active() ([]entry, error) {
	var best []entry
	for pos := int64(0); pos < l.n; {
		seq, n, err := l.sequence(pos)
		if err != nil {
			return nil, err
		}
		if from := tail(seq); from >= 0 && (best == nil || seq[len(seq)-1].Sequence > best[len(best)-1].Sequence) {
			best = seq[from:]
		}
		pos += max(n, logSector)
	}
	return best, nil
}

// sequence is the entries that follow each other from pos, and their bytes.
func (l *ring) sequence(pos int64) (seq []entry, n int64, err error) {
	for n < l.n {
		e, ok, err := l.entryAt(pos + n)
		if err != nil {
			return nil, 0, err
		}
		if !ok || len(seq) > 0 && e.Sequence != seq[len(seq)-1].Sequence+1 || n+int64(e.Length) > l.n {
			break
		}
		seq = append(seq, e)
		n += int64(e.Length)
	}
	return seq, n, nil
}

// tail is the index of the entry at which the last one says that the sequence
// begins; -1 when it does not begin in seq.
func tail(seq []entry) int {
	for i := range seq {
		if seq[i].pos == int64(seq[len(seq)-1].Tail) {
			return i
		}
	}
	return -1
}
