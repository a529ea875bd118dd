package iso9660

import (
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// object is a directory record with what Rock Ridge says of it.
type object struct {
	record
	off  int64  // of the record on the device
	name string // as the record has it
	rock rock
}

// readBlock is a block of a directory, whole or to the end of the device.
func (v *volume) readBlock(off int64) ([]byte, error) {
	if p := v.cache.Get(off); p != nil {
		return p, nil
	}
	if !ondisk.InRange(off, recordSize, v.dev.Size()) {
		return nil, recordAt(off).Corrupt("behind the end")
	}
	p := make([]byte, min(v.block, v.dev.Size()-off))
	if err := ondisk.Full(v.dev, p, off); err != nil {
		return nil, recordAt(off).Wrap(err)
	}
	return v.cache.Put(off, p), nil
}

// object reads the record of a node.
func (v *volume) object(n filesys.Node) (*object, error) {
	off := int64(n)
	if off < firstSector*sector || off >= v.dev.Size() {
		return nil, filesys.ErrInvalid
	}
	p, err := v.readBlock(ondisk.AlignDown(off, v.block))
	if err != nil {
		return nil, err
	}
	o, err := v.decode(p[off%v.block:], off)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, recordAt(off).Corrupt("empty")
	}
	return o, nil
}

// decode reads the record that p begins with; nil when there is none.
func (v *volume) decode(p []byte, off int64) (*object, error) {
	if len(p) == 0 || p[0] == 0 {
		return nil, nil
	}
	n := int(p[0])
	if n < recordSize || n > len(p) {
		return nil, recordAt(off).Corrupt("%d bytes", n)
	}
	o := &object{record: decodeRecord(p), off: off}
	end := recordSize + int(o.NameLen)
	if o.NameLen == 0 || end > n {
		return nil, recordAt(off).Corrupt("a name of %d bytes in %d", o.NameLen, n)
	}
	o.name = string(p[recordSize:end])
	if v.form == rockRidge {
		end += 1 - int(o.NameLen)%2 // a byte pads names of even length
		if o.NameLen != 1 || o.name != "\x00" || off != int64(v.root) {
			end += v.skip
		}
		if err := v.readRock(o, p[min(end, n):n]); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// self and parent are the first two records of a directory.
func (o *object) self() bool { return o.name == "\x00" || o.name == "\x01" }

func (o *object) mode() filesys.Mode {
	if o.rock.hasMode {
		return o.rock.mode
	}
	if o.Flags&flagDir != 0 {
		return filesys.Dir | 0o555
	}
	return filesys.Regular | 0o555 // as Linux shows them
}

func (o *object) mtime() time.Time {
	if !o.rock.mtime.IsZero() {
		return o.rock.mtime
	}
	return shortTime(o.Time)
}
