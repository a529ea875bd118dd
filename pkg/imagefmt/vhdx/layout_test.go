package vhdx

import (
	"encoding/binary"
	"testing"
)

func TestLayout(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want int
	}{
		{diskHeader{}, 80}, {diskRegionTable{}, 16}, {diskRegion{}, 32}, {diskMetadataTable{}, 32}, {diskItem{}, 32},
		{diskLogEntry{}, logHeaderSize}, {diskDescriptor{}, descriptorSize}, {diskLocator{}, 20}, {diskLocatorEntry{}, 12},
	} {
		if got := binary.Size(tt.v); got != tt.want {
			t.Errorf("%T has %d bytes, want %d", tt.v, got, tt.want)
		}
	}
}

func TestGUID(t *testing.T) {
	const text = "2DC27766-F623-4200-9D64-115E9BFD4A08"
	if got := regionBAT.String(); got != text {
		t.Error(got)
	}
	if regionBAT[0] != 0x66 || regionBAT[15] != 0x08 {
		t.Errorf("%x", regionBAT)
	}
	for _, s := range []string{text, "{" + text + "}", " {2dc27766-f623-4200-9d64-115e9bfd4a08} "} {
		if g, ok := parseGUID(s); !ok || g != regionBAT {
			t.Errorf("%q: %v, %v", s, g, ok)
		}
	}
	if _, ok := parseGUID("{2dc27766}"); ok {
		t.Error("a short one was accepted")
	}
}
