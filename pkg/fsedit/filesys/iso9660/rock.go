package iso9660

import (
	"errors"
	"strings"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// rock is what the Rock Ridge entries of a record say.
type rock struct {
	hasMode      bool
	mode         filesys.Mode
	nlink        uint32
	uid, gid     uint32
	major, minor uint32
	name         string
	target       string
	mtime        time.Time
	atime, ctime time.Time
	btime        time.Time
	child        int64 // first block of the directory that was moved away, or 0
	moved        bool  // the record of such a directory, at its new place
	zisofs       bool
	ids          []string // of extensions, in the root

	damage error // what is behind it is not known
	ended  bool  // the last component of target is whole, and wants a slash before the next
}

const (
	maxParts = 64       // continuations of one record
	maxUse   = 64 << 10 // bytes of all
)

// findRock reads the root's first record and reports whether it says that there
// is Rock Ridge (SUSP 1.12, 5.3 and 5.5).
func (v *volume) findRock() (bool, error) {
	o, err := v.object(v.root)
	if err != nil {
		return false, err
	}
	p, err := v.readBlock(ondisk.AlignDown(o.off, v.block))
	if err != nil {
		return false, err
	}
	use := p[o.off%v.block:][recordSize+int(o.NameLen) : o.Length]
	if len(use) < 7 || string(use[:2]) != "SP" || use[4] != 0xBE || use[5] != 0xEF {
		return false, nil
	}
	if err := v.readRock(o, use); err != nil {
		return false, err
	}
	v.skip = int(use[6])
	for _, id := range o.rock.ids {
		if strings.HasPrefix(id, "RRIP_1991") || strings.HasPrefix(id, "IEEE_") {
			return true, nil
		}
	}
	return false, nil
}

// readRock reads the entries of a system use area and of those that continue it.
// What cannot be understood is kept for who needs it: a directory with one damaged
// record still has its names.
func (v *volume) readRock(o *object, use []byte) error {
	err := v.parts(o, use)
	if errors.Is(err, ondisk.ErrCorrupt) {
		o.rock.damage, err = err, nil
	}
	return err
}

func (v *volume) parts(o *object, use []byte) error {
	total := 0
	for range maxParts {
		next, err := v.part(o, use)
		if err != nil || next == nil {
			return err
		}
		off := int64(le.Uint32(next[4:]))*v.block + int64(le.Uint32(next[12:]))
		n := int64(le.Uint32(next[20:]))
		if total += int(min(n, maxUse+1)); total > maxUse || !ondisk.InRange(off, n, v.dev.Size()) {
			return recordAt(o.off).Corrupt("its attributes continue with %d bytes at %#x", n, off)
		}
		use = make([]byte, n)
		if err := ondisk.Full(v.dev, use, off); err != nil {
			return recordAt(o.off).Wrap(err)
		}
	}
	return recordAt(o.off).Corrupt("its attributes have more than %d parts", maxParts)
}

// part reads the entries of one area, and gives the one that names the next area.
func (v *volume) part(o *object, use []byte) (next []byte, err error) {
	for len(use) >= 4 {
		n := int(use[2])
		if use[0] == 0 {
			break
		}
		if n < 4 || n > len(use) {
			return nil, recordAt(o.off).Corrupt("an attribute %q of %d bytes", use[:2], n)
		}
		e := use[:n]
		use = use[n:]
		switch string(e[:2]) {
		case "ST":
			return next, nil
		case "CE":
			if n < 28 {
				return nil, recordAt(o.off).Corrupt("an attribute CE of %d bytes", n)
			}
			next = e
		default:
			if err := o.rock.entry(string(e[:2]), e[4:]); err != nil {
				return nil, recordAt(o.off).Wrap(err)
			}
		}
	}
	return next, nil
}

// sizes that the data of entries have at least.
var sizes = map[string]int{"PX": 32, "PN": 16, "NM": 1, "SL": 1, "TF": 1, "CL": 8, "ER": 4}

func (r *rock) entry(kind string, p []byte) error {
	if len(p) < sizes[kind] {
		return ondisk.Because(ondisk.ErrCorrupt, "an attribute %s of %d bytes", kind, len(p))
	}
	switch kind {
	case "PX":
		mode := filesys.Mode(le.Uint32(p))
		r.hasMode, r.mode, r.nlink = true, mode.Type()|mode.Perm(), le.Uint32(p[8:])
		r.uid, r.gid = le.Uint32(p[16:]), le.Uint32(p[24:])
	case "PN":
		r.major, r.minor = le.Uint32(p), le.Uint32(p[8:])
		if r.major == 0 && r.minor > 0xFF { // all of it in the low half, as Linux guesses
			r.major, r.minor = r.minor>>8, r.minor&0xFF
		}
	case "NM":
		if p[0]&6 == 0 { // not "." or ".."
			r.name += string(p[1:])
		}
	case "SL":
		return r.link(p[1:])
	case "TF":
		r.times(p[0], p[1:])
	case "CL":
		r.child = int64(le.Uint32(p))
	case "RE":
		r.moved = true
	case "ZF":
		r.zisofs = true
	case "ER":
		if n := int(p[0]); 4+n <= len(p) {
			r.ids = append(r.ids, string(p[4:4+n]))
		}
	}
	return nil
}

// link adds the components of a target (RRIP, 4.1.3).
func (r *rock) link(p []byte) error {
	const goesOn, here, above, top = 1, 2, 4, 8
	for len(p) >= 2 {
		flags, n := p[0], int(p[1])
		if 2+n > len(p) {
			return ondisk.Because(ondisk.ErrCorrupt, "a link's component of %d bytes", n)
		}
		if r.ended {
			r.target += "/"
		}
		switch {
		case flags&top != 0:
			r.target += "/"
		case flags&here != 0:
			r.target += "."
		case flags&above != 0:
			r.target += ".."
		default:
			r.target += string(p[2 : 2+n])
		}
		r.ended = flags&(goesOn|top) == 0
		p = p[2+n:]
	}
	return nil
}

// times reads the times that flags announce (RRIP, 4.1.6).
func (r *rock) times(flags byte, p []byte) {
	for bit, t := range []*time.Time{&r.btime, &r.mtime, &r.atime, &r.ctime} {
		if flags&(1<<bit) == 0 {
			continue
		}
		if flags&0x80 != 0 {
			if len(p) < 17 {
				return
			}
			*t, p = longTime([17]byte(p)), p[17:]
		} else {
			if len(p) < 7 {
				return
			}
			*t, p = shortTime([7]byte(p)), p[7:]
		}
	}
}
