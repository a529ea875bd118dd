//go:build linux

package vmdk

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"testing"
)

func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want int
	}{
		{sparseHeader{}, sparseHeaderSize}, {marker{}, markerSize}, {cowdHeader{}, 32},
		{seHeader{}, sectorSize}, {seVolatileHeader{}, 32},
	} {
		if got := binary.Size(tt.v); got != tt.want {
			t.Errorf("%T: %d bytes, want %d", tt.v, got, tt.want)
		}
	}
}

func TestDecodeMarker(t *testing.T) {
	p := make([]byte, markerSize)
	rng := rand.New(rand.NewSource(1))
	for range 100 {
		rng.Read(p)
		var want marker
		if _, err := binary.Decode(p, binary.LittleEndian, &want); err != nil {
			t.Fatal(err)
		}
		if got := decodeMarker(p); got != want || decodeSize(p) != want.Size {
			t.Errorf("%x: %+v, want %+v", p, got, want)
		}
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	p := make([]byte, sparseHeaderSize)
	rand.New(rand.NewSource(2)).Read(p)
	var h sparseHeader
	if _, err := binary.Decode(p, binary.LittleEndian, &h); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(h.appendTo(nil), p) {
		t.Error("a header that was decoded and encoded is another one")
	}
}
