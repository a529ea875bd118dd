package ext

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestLayoutSizes(t *testing.T) {
	for _, x := range []struct {
		name string
		v    any
		want int
	}{
		{"superblock", superblock{}, superSize},
		{"group descriptor", groupDesc{}, descSize64},
		{"inode", diskInode{}, diskInodeSize},
		{"extent header", extentHeader{}, extentHeaderSize},
		{"extent", extentLeaf{}, extentEntrySize},
		{"extent index", extentIndex{}, extentEntrySize},
		{"xattr header", xattrHeader{}, xattrHeaderSize},
		{"xattr entry", xattrEntry{}, xattrEntrySize},
		{"journal superblock", journalSuper{}, jsChecksum + 4},
	} {
		if got := binary.Size(x.v); got != x.want {
			t.Errorf("%s: %d bytes, want %d", x.name, got, x.want)
		}
	}
}

// agree compares a decoder written by hand with encoding/binary.
func agree[T comparable](t *testing.T, name string, decode func([]byte) T, patch func([]byte)) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var want T
		p := make([]byte, binary.Size(want))
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		if patch != nil {
			patch(p)
		}
		if _, err := binary.Decode(p, le, &want); err != nil {
			t.Fatal(err)
		}
		if got := decode(p); got != want {
			t.Fatalf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestHandDecoders(t *testing.T) {
	agree(t, "group descriptor", decodeGroupDesc, nil)
	agree(t, "extent header", decodeExtentHeader, nil)
	agree(t, "extent", decodeExtentLeaf, nil)
	agree(t, "extent index", decodeExtentIndex, func(p []byte) { clear(p[10:]) })
	agree(t, "xattr header", decodeXattrHeader, func(p []byte) { clear(p[20:]) })
	agree(t, "xattr entry", decodeXattrEntry, nil)
	agree(t, "inode", decodeInode, func(p []byte) {
		clear(p[0x7E:0x80])
		le.PutUint16(p[inExtraIsize:], diskInodeSize-oldInodeSize)
	})
}

func TestChecksumBasics(t *testing.T) {
	if got := ^crc32c(allOnes, []byte("123456789")); got != 0xE3069283 {
		t.Errorf("CRC-32C %#08x", got)
	}
	if got := crc16(0, []byte("123456789")); got != 0xBB3D {
		t.Errorf("CRC-16 %#04x", got)
	}
	var c transactionSum
	c.reset()
	c.add([]byte("123456789"))
	if c != 0x0376E6E7 { // CRC-32/MPEG-2
		t.Errorf("CRC-32 %#08x", uint32(c))
	}
}
