package vmdk

import (
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// tapeSize is how much is gathered for one write.
const tapeSize = 1 << 20

// tape is a file that is written front to back, in whole sectors.
type tape struct {
	sink imagefmt.Sink
	buf  []byte
	at   int64 // byte of the file where buf begins
}

// sector is where the next byte goes.
func (t *tape) sector() int64 { return (t.at + int64(len(t.buf))) / sectorSize }

// put appends p, filled up to whole sectors.
func (t *tape) put(p []byte) error {
	if t.sector()+ondisk.DivUp(int64(len(p)), sectorSize) > maxFileSectors {
		return fileTooBig()
	}
	if t.buf == nil {
		t.buf = make([]byte, 0, tapeSize)
	}
	if len(t.buf)+len(p)+sectorSize > cap(t.buf) {
		if err := t.flush(); err != nil {
			return err
		}
	}
	t.buf = append(t.buf, p...)
	if rest := len(t.buf) % sectorSize; rest != 0 {
		t.buf = append(t.buf, zeroSector[rest:]...)
	}
	return nil
}

var zeroSector [sectorSize]byte

func (t *tape) flush() error {
	if len(t.buf) == 0 {
		return nil
	}
	_, err := t.sink.WriteAt(t.buf, t.at)
	t.at += int64(len(t.buf))
	t.buf = t.buf[:0]
	return err
}
