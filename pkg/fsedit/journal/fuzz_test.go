package journal

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// seed is a small journal built by hand: a header, an array, an entry and its
// field, so that mutations hit what is read.
func seed(compact bool) []byte {
	p := make([]byte, 512)
	le := binary.LittleEndian
	copy(p, signature)
	le.PutUint64(p[88:], headerMin)
	le.PutUint64(p[176:], headerMin)
	const array, entry, data = headerMin, 256, 344
	item, payload := 8, dataSize
	if compact {
		p[12] = flagCompact
		item, payload = 4, dataSizeCompact
	}
	p[array] = typeEntryArray
	le.PutUint64(p[array+8:], uint64(arraySize+2*item))
	le.PutUint32(p[array+arraySize:], entry)
	p[entry] = typeEntry
	size := entrySize + itemSize
	if compact {
		size = entrySize + itemSizeCompact
	}
	le.PutUint64(p[entry+8:], uint64(size))
	le.PutUint64(p[entry+16:], 1)
	le.PutUint64(p[entry+24:], 1763800000000000)
	le.PutUint32(p[entry+entrySize:], data)
	p[data] = typeData
	field := "MESSAGE=hello"
	le.PutUint64(p[data+8:], uint64(payload+len(field)))
	copy(p[data+payload:], field)
	return p
}

// FuzzJournal reads whatever it is given, forward and backward, within its limits.
func FuzzJournal(f *testing.F) {
	f.Add(seed(false))
	f.Add(seed(true))
	for method := range uint8(8) {
		p := bytes.Clone(seed(false))
		p[344+1] = method
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		limits := ondisk.Limits{Text: 1 << 20, Table: 1 << 16}
		file, err := Open(blockdev.FromBytes(p), limits)
		if err != nil {
			return
		}
		if file.Len() > len(p)/4 {
			t.Fatalf("%d entries in %d bytes", file.Len(), len(p))
		}
		for _, backward := range []bool{false, true} {
			n := 0
			for e, err := range Merge([]*File{file, file}, MergeOptions{Backward: backward}) {
				if err != nil {
					return
				}
				if n++; n > 1000 {
					break
				}
				fields, _ := e.Fields()
				total := 0
				for _, field := range fields {
					total += len(field.Name) + len(field.Value)
				}
				if int64(total) > limits.Text {
					t.Fatalf("%d bytes of fields", total)
				}
				_ = e.Cursor() + e.Time().String()
			}
		}
	})
}

// TestSeed: the seeds are journals.
func TestSeed(t *testing.T) {
	for _, compact := range []bool{false, true} {
		equal(t, messages(t, seed(compact)), []string{"hello"})
	}
}
