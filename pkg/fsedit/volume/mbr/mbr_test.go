package mbr

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

func TestLayout(t *testing.T) {
	if n := binary.Size(entry{}); n != entryLen {
		t.Errorf("an entry takes %d bytes, not %d", n, entryLen)
	}
	p := make([]byte, entryLen)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		var want entry
		if _, err := binary.Decode(p, binary.LittleEndian, &want); err != nil {
			t.Fatal(err)
		}
		if got := decodeEntry(p); got != want {
			t.Fatalf("%x: %+v, not %+v", p, got, want)
		}
	}
}

// FuzzMap: no bytes make it fail, loop or leave the disk.
func FuzzMap(f *testing.F) {
	seed := make([]byte, 8192)
	seed[510], seed[511] = 0x55, 0xaa
	copy(seed[446:], []byte{0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0})
	copy(seed[462:], []byte{0, 0, 0, 0, 0x05, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0})
	copy(seed[2048:], seed[:512])
	f.Add(seed)
	f.Fuzz(func(t *testing.T, p []byte) {
		dev := blockdev.FromBytes(p)
		Mapper{}.Probe(dev)
		Mapper{}.DiskID(dev)
		vols, err := Mapper{}.Map(context.Background(), []blockdev.Device{dev}, volume.Options{})
		if err != nil {
			return
		}
		for _, v := range vols {
			if v.Off < 0 || v.Len <= 0 || v.Off+v.Len > int64(len(p)) || v.Device.Size() != v.Len {
				t.Errorf("volume %+v on %d bytes", v, len(p))
			}
		}
	})
}
