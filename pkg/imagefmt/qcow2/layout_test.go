package qcow2

import (
	"encoding/binary"
	"testing"
)

func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want int
	}{{diskHeader{}, headerV3Size}, {diskSnapshot{}, diskSnapshotSize}, {diskBitmap{}, diskBitmapSize}} {
		if got := binary.Size(tt.v); got != tt.want {
			t.Errorf("%T: %d bytes, want %d", tt.v, got, tt.want)
		}
	}
}

func TestPackedExtent(t *testing.T) {
	g := geometry{clusterBits: 16}
	host, stored := g.packedExtent(flagPacked | 3<<54 | 0x50123)
	if host != 0x50123 || stored != 4*512-0x123 {
		t.Errorf("%#x %d", host, stored)
	}
}
